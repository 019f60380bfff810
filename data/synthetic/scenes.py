"""Scenes of textured shapes in many sizes, rotated and overlapping, on a cluttered background.

data/synthetic/shapes.py writes them to files. Everything in a scene comes from one random stream.
The outline alone determines the class of a shape: colour, texture, size, angle and proportions do
not depend on it.
"""

from __future__ import annotations

import numpy as np

CLASSES = ("disc", "ring", "square", "triangle", "star")
SIDE = 256  # longer side of an image, pixels
DIAMETERS = (56.0, 150.0)  # smallest and largest shape, pixels
SHAPE_COUNTS = (4, 7)  # fewest and most shapes in an image
SHADOW_REACH = 10  # pixels around a shape that its shadow may darken
MIN_VISIBLE = 0.85  # share of every shape that neither the frame nor later shapes hide
MAX_OVERLAP = 0.25  # largest IoU of two boxes


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image [H, W, 3] uint8 BGR, with classes [N] int64 and boxes [N, 4] float32 xyxy.

    The boxes, in pixels, enclose the visible parts of the shapes.
    """
    sides = (SIDE, int(rng.choice([SIDE * 3 // 4, SIDE * 7 // 8, SIDE])))
    height, width = sides if rng.random() < 0.5 else sides[::-1]
    canvas = draw_ground(rng, height, width)
    # The number of the shape that each pixel shows, -1 for the ground.
    owner: np.ndarray = np.full((height, width), -1, np.int8)
    classes: list[int] = []
    areas: list[float] = []
    wanted = int(rng.integers(SHAPE_COUNTS[0], SHAPE_COUNTS[1] + 1))
    for _ in range(8 * wanted):
        kind = int(rng.integers(len(CLASSES)))
        contours = place_outline(rng, CLASSES[kind], height, width)
        mask = fill(contours, height, width)
        after = np.where(mask > 127, np.int8(len(classes)), owner)
        if not _is_fair(after, [*areas, _area(contours)]):
            continue
        paint(canvas, mask, contours, rng)
        owner = after
        classes.append(kind)
        areas.append(_area(contours))
        if len(classes) == wanted:
            break
    noise = rng.standard_normal(canvas.shape, dtype=np.float32)
    canvas += noise * np.float32(rng.uniform(2, 9))  # like that of a camera's sensor
    return (
        canvas.clip(0, 255).astype(np.uint8),
        np.array(classes),
        visible_boxes(owner, len(classes)),
    )


def visible_boxes(owner: np.ndarray, count: int) -> np.ndarray:
    """Boxes [count, 4] float32 xyxy around the pixels of owner [H, W] that show shape 0, 1, …"""
    boxes = np.zeros((count, 4), np.float32)
    for number in range(count):
        shown = owner == number
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _is_fair(owner: np.ndarray, areas: list[float]) -> bool:
    """Whether enough of each shape is visible, and the newest box overlaps no other too much."""
    seen = np.bincount(owner[owner >= 0], minlength=len(areas))
    if np.any(seen < MIN_VISIBLE * np.array(areas)):
        return False
    boxes = visible_boxes(owner, len(areas))
    corner = np.minimum(boxes[:-1, 2:], boxes[-1, 2:]) - np.maximum(boxes[:-1, :2], boxes[-1, :2])
    shared = corner.clip(0).prod(axis=1)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return bool(np.all(shared <= MAX_OVERLAP * (sizes[:-1] + sizes[-1] - shared)))


def _area(contours: list[np.ndarray]) -> float:
    """Pixels inside the first contour and outside the second, if there is one."""
    import cv2

    return cv2.contourArea(contours[0]) - sum(cv2.contourArea(hole) for hole in contours[1:])


def unit_outline(kind: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Contours [P, 2] of a shape of radius 1 around the origin; a second contour is a hole."""

    def corners(count: int, radius: float = 1.0) -> np.ndarray:
        angles = np.arange(count) * 2 * np.pi / count
        return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    if kind == "disc":
        return [corners(64)]
    if kind == "ring":
        return [corners(64), corners(64, rng.uniform(0.45, 0.62))]
    if kind == "star":
        star = corners(10)
        star[1::2] *= rng.uniform(0.36, 0.46)
        return [star]
    return [corners({"triangle": 3, "square": 4}[kind])]


def place_outline(rng: np.random.Generator, kind: str, height: int, width: int) -> list[np.ndarray]:
    """Stretch, rotate, scale and shift the outline of a shape at random.

    Args:
        rng: Gives the draws.
        kind: One of CLASSES.
        height: Height of the image, pixels.
        width: Width of the image, pixels.

    Returns:
        Contours [P, 2] float32 in pixels; a second contour is a hole.
    """
    diameter = np.exp(rng.uniform(*np.log(DIAMETERS)))
    stretch = np.array([1.0, rng.uniform(0.78, 1.0)])
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    margin = 0.4 * diameter  # the frame may cut a little
    centre = rng.uniform([margin, margin], [width - margin, height - margin])
    return [
        (part * stretch @ turn * diameter / 2 + centre).astype(np.float32)
        for part in unit_outline(kind, rng)
    ]


def fill(contours: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Draw the mask of a shape.

    Args:
        contours: Contours [P, 2] in pixels; a second contour is a hole.
        height: Height of the mask, pixels.
        width: Width of the mask, pixels.

    Returns:
        [height, width] uint8, anti-aliased.
    """
    import cv2

    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(
        mask, [np.round(part * 16).astype(np.int32) for part in contours], 255, cv2.LINE_AA, shift=4
    )
    return mask


def window(contours: list[np.ndarray], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of an image of (height, width) that a shape and its shadow can touch."""
    low = np.floor(contours[0].min(axis=0)).astype(int) - SHADOW_REACH
    high = np.ceil(contours[0].max(axis=0)).astype(int) + SHADOW_REACH
    return slice(max(low[1], 0), min(high[1], size[0])), slice(
        max(low[0], 0), min(high[0], size[1])
    )


def paint(
    canvas: np.ndarray, mask: np.ndarray, contours: list[np.ndarray], rng: np.random.Generator
) -> None:
    """Paint a textured shape with its shadow.

    Args:
        canvas: [H, W, 3] float32, changed in place.
        mask: [H, W] uint8, the shape.
        contours: Contours [P, 2] of the shape, pixels.
        rng: The source of colours and texture.
    """
    import cv2

    part = window(contours, mask.shape)
    view, alpha = canvas[part], mask[part].astype(np.float32)[..., None] / 255
    ground = view[mask[part] > 127].mean(axis=0)
    colours = rng.uniform(0, 255, (7, 3)).astype(np.float32)
    contrast = np.abs(colours - ground).sum(axis=1)
    colours = colours[np.argsort(-contrast, kind="stable")][:2]  # the two that stand out most
    pattern = draw_pattern(rng, contours[0], part)[..., None]
    shadow = cv2.GaussianBlur(np.roll(alpha, (3, 3), axis=(0, 1)), (15, 15), 2.5)[..., None]
    view *= 1 - np.float32(rng.uniform(0, 0.5)) * shadow
    view += alpha * (colours[0] + (colours[1] - colours[0]) * pattern - view)
    if rng.random() < 0.5:  # a rim
        lines = [np.round(line * 16).astype(np.int32) for line in contours]
        cv2.polylines(
            canvas,
            lines,
            True,
            (colours[0] * rng.uniform(0.2, 0.7)).tolist(),
            1,
            cv2.LINE_AA,
            shift=4,
        )


def draw_pattern(
    rng: np.random.Generator, contour: np.ndarray, part: tuple[slice, slice]
) -> np.ndarray:
    """Draw a texture whose grain suits the size of the shape.

    Args:
        rng: Gives the draws.
        contour: [P, 2], the outer contour of the shape, pixels.
        part: Rows and columns of the window.

    Returns:
        [h, w] float32 in 0..1, of the window's size.
    """
    low = contour.min(axis=0)
    span = float((contour.max(axis=0) - low).max())
    y = (np.arange(part[0].start, part[0].stop, dtype=np.float32)[:, None] - low[1]) / span
    x = (np.arange(part[1].start, part[1].stop, dtype=np.float32)[None] - low[0]) / span
    angle = rng.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = cosine * x + sine * y, cosine * y - sine * x
    # A wave is at least 7 pixels long, so that stripes stay visible.
    waves = np.float32(2 * np.pi * max(2.0, min(float(rng.uniform(2, 6)), span / 7)))
    kind = rng.choice(["plain", "shaded", "stripes", "checks", "dots", "clouds"])
    if kind == "plain":
        return np.full(u.shape, rng.uniform(0, 0.3), np.float32)
    if kind == "shaded":
        return (u + 0.5).clip(0, 1)
    if kind == "stripes":
        return (0.5 + 2 * np.sin(waves * u)).clip(0, 1)
    if kind == "checks":
        return (0.5 + 4 * np.sin(waves * u) * np.sin(waves * v)).clip(0, 1)
    if kind == "dots":
        return (3 * (np.cos(waves * u) + np.cos(waves * v)) - 1.5).clip(0, 1)
    return clouds(rng, u.shape[0], u.shape[1], grains=(5, 11, 23))


def clouds(
    rng: np.random.Generator, height: int, width: int, grains: tuple[int, ...]
) -> np.ndarray:
    """Draw smooth noise.

    Args:
        rng: Gives the noise.
        height: Height, pixels.
        width: Width, pixels.
        grains: Cells per side of each layer; coarse layers weigh more.

    Returns:
        [height, width] float32 in 0..1.
    """
    import cv2

    field = sum(
        cv2.resize(rng.random((n, n), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        / n**0.5
        for n in grains
    )
    low, high = field.min(), field.max()
    return (field - low) / (high - low)


def draw_ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a cluttered background of two clouded colours, a gradient of light, lines and arcs.

    Args:
        rng: Gives the draws.
        height: Height, pixels.
        width: Width, pixels.

    Returns:
        [height, width, 3] float32 BGR, about 0 to 255.
    """
    import cv2

    first, second = rng.uniform(30, 225, (2, 3)).astype(np.float32)
    second = first + (second - first) * np.float32(rng.uniform(0.3, 0.9))
    field = clouds(rng, height, width, grains=(3, 7, 17, 41))[..., None]
    left, right = rng.uniform(0.75, 1.2, 2)
    light = np.linspace(left, right, width, dtype=np.float32)[None, :, None]
    canvas = np.ascontiguousarray((first * (1 - field) + second * field) * light)
    for _ in range(int(rng.integers(6, 22))):
        colour = rng.uniform(0, 255, 3).tolist()
        thickness = int(rng.integers(1, 4))
        start = rng.uniform(0, [width, height])
        if rng.random() < 0.3:  # an open arc, so that a curve alone does not identify a ring
            axes = rng.integers(6, 50, 2).tolist()
            begin = rng.uniform(0, 360)
            where = (int(start[0]), int(start[1]))
            cv2.ellipse(
                canvas,
                where,
                axes,
                0,
                begin,
                begin + rng.uniform(40, 150),
                colour,
                thickness,
                cv2.LINE_AA,
            )
        else:
            steps = rng.normal(0, rng.uniform(8, 45), (int(rng.integers(1, 5)), 2))
            path = np.concatenate([start[None], start + np.cumsum(steps, axis=0)]).astype(np.int32)
            cv2.polylines(canvas, [path], False, colour, thickness, cv2.LINE_AA)
    return canvas
