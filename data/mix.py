"""Several images in one: draws and layout of mosaics of four and nine images, and mixup.

data/dataset.py calls these and passes its method fetch, so that nothing here depends on the data
set. data/compose.py turns the tiles into the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.compose import Tile, View, compose
from data.geometry import Affine, Size, draw_affine
from data.labelled import Fetch, Result
from utils.config import Hyperparameters

MIXUP_BETA = 32.0  # both parameters of the beta distribution, which gives shares near one half


@dataclass(frozen=True, slots=True)
class Mosaic:
    """The draws of one mosaic.

    Attributes:
        members: Numbers of four or nine images, in the order of their places.
        corner: (x, y) in pixels: where four images meet on the canvas, or how far the output is
            shifted over nine.
        affine: The map from the canvas to the output.
        paste_share: Share of the objects that copy-paste chooses.
        paste_seed: Seed of that choice.
    """

    members: tuple[int, ...]
    corner: tuple[int, int]
    affine: Affine
    paste_share: float = 0.0
    paste_seed: int = 0


def draw_mosaic(
    rng: np.random.Generator, first: int, pool: Sequence[int], imgsz: int, hyp: Hyperparameters
) -> Mosaic:
    """Draw a mosaic.

    Args:
        rng: Gives all draws.
        first: Number of an image that is among the members.
        pool: Numbers of the images that the others are drawn from, with replacement.
        imgsz: Side of the output, pixels.
        hyp: Probabilities and gains.

    Returns:
        The draws, with the members in random places.
    """
    nine = bool(hyp.mosaic9) and rng.random() < hyp.mosaic9
    others = rng.integers(len(pool), size=8 if nine else 3)
    members = np.array([first, *(pool[k] for k in others)])
    low, high = (0.0, float(imgsz)) if nine else (imgsz * 0.5, imgsz * 1.5)
    corner = (int(rng.uniform(low, high)), int(rng.uniform(low, high)))
    shuffled = tuple(members[rng.permutation(len(members))].tolist())
    return Mosaic(shuffled, corner, draw_affine(rng, hyp), hyp.copy_paste, int(rng.integers(2**32)))


def make_mosaic(draw: Mosaic, fetch: Fetch, imgsz: int) -> Result:
    """Put the members of a mosaic together.

    Args:
        draw: The draws.
        fetch: Returns the image with a number, its long side scaled to imgsz, read or not.
        imgsz: Side of the output, pixels.

    Returns:
        The mosaic [imgsz, imgsz, 3] with its boxes and classes.
    """
    images = [fetch(i) for i in draw.members]
    place = _origins_of_four if len(images) == 4 else _origins_of_nine
    origins = place([image.size for image in images], draw.corner, imgsz)
    tiles = [Tile(image, origin) for image, origin in zip(images, origins, strict=True)]
    view = View((2 * imgsz, 2 * imgsz), (imgsz, imgsz), draw.affine)
    return compose(tiles, view, (draw.paste_share, draw.paste_seed))


def _origins_of_four(
    sizes: Sequence[Size], corner: tuple[int, int], imgsz: int
) -> list[tuple[int, int]]:
    """Origins (x, y) of top left, top right, bottom left and bottom right, which meet at corner."""
    x, y = corner
    return [
        (x - (k % 2 == 0) * width, y - (k < 2) * height) for k, (height, width) in enumerate(sizes)
    ]


def _origins_of_nine(
    sizes: Sequence[Size], corner: tuple[int, int], imgsz: int
) -> list[tuple[int, int]]:
    """Origins (x, y) of an image and eight around it, minus corner.

        8 1 2     The pairs 1 2, 3 4, 5 6 and 7 8 run clockwise, each along one side of 0, starting
        7 0 3     at one of its corners. As sizes differ, there are gaps and overlaps between them;
        6 5 4     the later image is on top.

    All nine cover about 3 x 3 frames. Subtracting corner moves a random part of them to the canvas.
    """
    heights, widths = [size[0] for size in sizes], [size[1] for size in sizes]
    left = top = imgsz
    right, bottom = left + widths[0], top + heights[0]
    origins = [
        (left, top),
        (left, top - heights[1]),
        (left + widths[1], top - heights[2]),
        (right, top),
        (right, top + heights[3]),
        (right - widths[5], bottom),
        (right - widths[5] - widths[6], bottom),
        (left - widths[7], bottom - heights[7]),
        (left - widths[8], bottom - heights[7] - heights[8]),
    ]
    return [(x - corner[0], y - corner[1]) for x, y in origins]


def mixup(first: Result, second: Result, share: float) -> Result:
    """Blend two images, with the boxes of both (mixup, arXiv 1710.09412).

    Args:
        first: An image, which is overwritten with the result.
        second: An image of the same size.
        share: Weight of the first, 0 to 1.

    Returns:
        The blended image with all boxes and classes.
    """
    import cv2

    image = cv2.addWeighted(first[0], share, second[0], 1 - share, 0.0, dst=first[0])
    return image, np.concatenate([first[1], second[1]]), np.concatenate([first[2], second[2]])
