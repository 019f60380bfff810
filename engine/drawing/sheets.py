"""Contact sheets: up to 16 images of a batch in a grid with their boxes, such as train_batch0.jpg.

Images and labels come from data.loader (Batch), detections from utils.nms, and the sheet is one
JPEG in the run's folder. Tiles are scaled to one size, so that names can be read on images of 160
pixels as well as on those of 1280.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.drawing.draw import automatic_width, draw_boxes
from engine.drawing.plates import fit_plate, write_text
from utils.files import atomic_write
from utils.structures import Batch

MOST_TILES = 16
SHEET_SIDE = 1920  # pixels, the longest side of a sheet without its captions
TILE_SIDE = 640  # pixels, the longest side of a tile on a sheet of few images
CAPTION = 22  # pixels below each tile for the file's name
GAP = 4
TEXT_PER_LINE_WIDTH = 6.5  # text is lower than on single images, since tiles are small
CAPTION_TEXT, CAPTION_INK = 14, (60, 50, 38)  # pixels; blue, green, red


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is drawn on one image.

    Attributes:
        boxes: [N, 4] corners in pixels of the image.
        classes: [N] class numbers.
        scores: [N] confidences; None for labels.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray | None = None


def plot_targets(path: Path, batch: Batch, names: Mapping[int, str]) -> Path:
    """Draw a batch with its labels.

    Args:
        path: The file to write.
        batch: Images and labels.
        names: Class number -> name.

    Returns:
        path.
    """
    targets = batch.targets.detach().cpu().numpy()
    rows = [targets[targets[:, 0] == number] for number in range(len(batch.paths))]
    overlays = [Overlay(row[:, 2:6], row[:, 1].astype(int)) for row in rows]
    return save_sheet(path, batch, overlays, names)


def plot_detections(
    path: Path,
    batch: Batch,
    found: Sequence[torch.Tensor],
    names: Mapping[int, str],
    least: float = 0.25,
) -> Path:
    """Draw a batch with its detections.

    Args:
        path: The file to write.
        batch: The images.
        found: Per image [n, 6] corners in pixels of the batch, confidence, class.
        names: Class number -> name.
        least: Lowest confidence of a detection that is drawn.

    Returns:
        path.
    """
    tables = [rows.detach().float().cpu().numpy() for rows in found]
    tables = [rows[rows[:, 4] >= least] for rows in tables]
    overlays = [Overlay(rows[:, :4], rows[:, 5].astype(int), rows[:, 4]) for rows in tables]
    return save_sheet(path, batch, overlays, names)


def save_sheet(
    path: Path, batch: Batch, overlays: Sequence[Overlay], names: Mapping[int, str]
) -> Path:
    """Arrange the first 16 images of a batch in a square grid, and write it as a JPEG.

    Args:
        path: The file to write.
        batch: The images.
        overlays: What is drawn on each image.
        names: Class number -> name.

    Returns:
        path.
    """
    import cv2

    images = batch.images[:MOST_TILES].detach().cpu().numpy()
    count = len(images)
    columns = max(math.ceil(math.sqrt(count)), 1)
    rows = max(math.ceil(count / columns), 1)
    # One scale for all tiles: the images of a batch have one size already.
    scale = min(SHEET_SIDE / columns, TILE_SIDE) / max(images.shape[2:])
    width, height = (max(round(side * scale), 1) for side in (images.shape[3], images.shape[2]))
    cell = (height + CAPTION + GAP, width + GAP)
    sheet = np.full((rows * cell[0] + GAP, columns * cell[1] + GAP, 3), 255, dtype=np.uint8)
    # strict=False, since a batch may have more images than the sheet.
    for number, (image, overlay, name) in enumerate(
        zip(images, overlays, batch.paths, strict=False)
    ):
        top, left = GAP + number // columns * cell[0], GAP + number % columns * cell[1]
        tile = draw_tile(image, overlay, names, (height, width))
        sheet[top : top + height, left : left + width] = tile
        _write_caption(sheet, name, (left, top + height), width)
    _, code = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 92])
    with atomic_write(path) as file:
        file.write(code.tobytes())
    return Path(path)


def draw_tile(
    image: np.ndarray, overlay: Overlay, names: Mapping[int, str], size: tuple[int, int]
) -> np.ndarray:
    """Scale an image and draw its boxes.

    Args:
        image: [3, H, W] uint8 RGB, or [1, H, W] grey.
        overlay: The boxes, in pixels of the image.
        names: Class number -> name.
        size: (height, width) of the tile in pixels.

    Returns:
        [height, width, 3] uint8 BGR.
    """
    import cv2

    colours = np.broadcast_to(image, (3, *image.shape[1:]))
    tile = np.ascontiguousarray(colours.transpose(1, 2, 0)[..., ::-1])
    # INTER_AREA averages pixels when shrinking, but does not interpolate when enlarging.
    method = cv2.INTER_AREA if size[0] < tile.shape[0] else cv2.INTER_LINEAR
    factors = np.array([size[1] / tile.shape[1], size[0] / tile.shape[0]] * 2)
    tile = cv2.resize(tile, (size[1], size[0]), interpolation=method)
    texts = [str(names.get(int(number), number)) for number in overlay.classes]
    if overlay.scores is not None:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, overlay.scores, strict=True)]
    line = automatic_width(*size)
    return draw_boxes(
        tile, overlay.boxes * factors, texts, overlay.classes, line, TEXT_PER_LINE_WIDTH * line
    )


def _write_caption(sheet: np.ndarray, name: str, corner: tuple[int, int], width: int) -> None:
    """Write a file's name below its tile, shortened to the tile's width.

    Args:
        sheet: [H, W, 3] uint8 BGR, changed in place.
        name: The file's path.
        corner: (left, top) of the caption in pixels.
        width: Width of the tile in pixels.
    """
    label = fit_plate(Path(name).name, CAPTION_TEXT, (width, CAPTION))
    write_text(sheet, label, corner, CAPTION_INK)
