"""One item: pixels and labels of image i in epoch e, augmented by draws that depend on nothing
else.

Labels come from data/index.py, pixels from data/pixels.py, transforms from data/augment.py and
data/mix.py; data/loader.py makes batches of the items. Nothing here searches, verifies or keeps
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from data.augment import GREY, Finish, apply_finish, draw_finish, paste_letterbox, resize
from data.geometry import (
    Affine,
    Letterbox,
    Size,
    clip_boxes,
    draw_affine,
    plan_letterbox,
    rect_shapes,
    resized_size,
)
from data.images import ImageError
from data.mix import (
    MIXUP_BETA,
    Image,
    Labels,
    Mosaic,
    Result,
    Tile,
    View,
    compose,
    draw_mosaic,
    make_mosaic,
    mixup,
)
from data.pixels import ImageList, open_pixels
from utils.config import Hyperparameters
from utils.seeds import stream
from utils.structures import Item, Sample


@dataclass(frozen=True)
class DatasetSettings:
    """How images become items.

    imgsz: long side, pixels. stride, pad (in strides): of the frames of rect batches. augment: draw
    transforms by hyp. rect: frames by proportions instead of squares, in batches of batch_size.
    cache: auto, ram, disk or no; copies: processes that will hold a cache each.
    """

    imgsz: int
    hyp: Hyperparameters = field(default_factory=Hyperparameters)
    augment: bool = False
    batch_size: int = 16
    stride: int = 32
    rect: bool = False
    pad: float = 0.0
    seed: int = 0
    cache: str = "no"
    copies: int = 1


class ItemKey(NamedTuple):
    """All that an item depends on, besides data and settings.

    number: of the image in the index. repeat: how often it came before in this epoch. mosaic:
    False once mosaics are closed. pool: images that may join a mosaic, () for all.
    """

    number: int
    epoch: int
    repeat: int = 0
    mosaic: bool = True
    pool: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """All draws of one item. mosaics: none, one, or two that are mixed with mix_share of the first;
    affine: only for none."""

    mosaics: tuple[Mosaic, ...]
    mix_share: float
    affine: Affine
    finish: Finish


def draw_recipe(
    rng: np.random.Generator, index: int, pool: Sequence[int], settings: DatasetSettings
) -> Recipe:
    """Draw an item's transforms; pool holds the numbers of images that may join it, () for no
    mosaic.
    """
    hyp, mosaics = settings.hyp, []
    if pool and rng.random() < hyp.mosaic:
        mosaics.append(draw_mosaic(rng, index, pool, settings.imgsz, hyp))
        if rng.random() < hyp.mixup:
            second = pool[int(rng.integers(len(pool)))]
            mosaics.append(draw_mosaic(rng, second, pool, settings.imgsz, hyp))
    mix_share = float(rng.beta(MIXUP_BETA, MIXUP_BETA)) if len(mosaics) == 2 else 1.0
    affine = Affine() if mosaics else draw_affine(rng, hyp)
    return Recipe(tuple(mosaics), mix_share, affine, draw_finish(rng, hyp))


class DetectionDataset:
    """Items of an index under settings.

    index: data.index.DatasetIndex. failures: path -> reason of images that could not be read;
    such a image is grey and has no labels.
    """

    def __init__(self, index: Any, settings: DatasetSettings) -> None:
        self.index, self.settings = index, settings
        self.failures: dict[str, str] = {}
        pictures = ImageList(index, settings.imgsz, smooth=not settings.augment)
        self.pixels = open_pixels(pictures, settings.cache, settings.copies)
        if settings.rect:
            grid = (settings.imgsz, settings.stride, settings.pad)
            self.order, self.shapes = rect_shapes(index.sizes, settings.batch_size, grid)
            self._place = np.argsort(self.order)

    def __len__(self) -> int:
        return len(self.index)

    def item(self, i: int, epoch: int) -> Item:
        """Item i of an epoch, the same whoever asks and whenever."""
        return self[ItemKey(i, epoch)]

    def __getitem__(self, key: ItemKey) -> Item:
        sample = self.index[key.number]
        if not self.settings.augment:
            return self._plain_item(key.number, sample)
        pool: Sequence[int] = key.pool or range(len(self))
        rng = stream(
            self.settings.seed, key.epoch, key.number, *((key.repeat,) if key.repeat else ())
        )
        recipe = draw_recipe(
            rng, key.number, pool if key.mosaic and not self.settings.rect else (), self.settings
        )
        image, boxes, classes = (
            self._mixed(recipe) if recipe.mosaics else self._single(key.number, recipe)
        )
        boxes = apply_finish(image, boxes, recipe.finish)
        return Item(image.transpose(2, 0, 1), boxes, classes, key.number, sample.size)

    def frame(self, i: int) -> Size:
        """(height, width) of item i."""
        if not self.settings.rect:
            return (self.settings.imgsz, self.settings.imgsz)
        height, width = self.shapes[self._place[i] // self.settings.batch_size].tolist()
        return height, width

    def fetch(self, i: int) -> Image:
        """Image i with the long side imgsz, and its labels at that size."""
        sample = self.index[i]
        try:
            image = self.pixels[i]
        except (ImageError, OSError) as error:
            self.failures[sample.path] = str(error)
            return Image(_grey_image(resized_size(sample.size, self.settings.imgsz)), _no_labels())
        return Image(image, _scale_labels(sample, image.shape[:2]))

    def _mixed(self, recipe: Recipe) -> Result:
        results = [make_mosaic(draw, self.fetch, self.settings.imgsz) for draw in recipe.mosaics]
        return mixup(results[0], results[1], recipe.mix_share) if len(results) == 2 else results[0]

    def _single(self, i: int, recipe: Recipe) -> Result:
        """One image in its frame, moved by the recipe's affine map."""
        picture, plan = self._framed(i)
        view = View(plan.size, plan.size, recipe.affine)
        return compose([Tile(picture, (plan.corner[1], plan.corner[0]))], view)

    def _framed(self, i: int) -> tuple[Image, Letterbox]:
        """Image i at the size it has in its frame, and its place there."""
        picture = self.fetch(i)
        size = picture.image.shape[:2]
        plan = plan_letterbox(size, self.frame(i), scale_up=self.settings.augment)
        if plan.inner == size:
            return picture, plan
        gain = np.array([plan.inner[1] / size[1], plan.inner[0] / size[0]] * 2, dtype=np.float32)
        old = picture.labels
        points = None if old.points is None else old.points * gain[:2]
        image = resize(picture.image, plan.inner, smooth=False)
        return Image(image, Labels(old.boxes * gain, old.classes, points, old.counts)), plan

    def _plain_item(self, i: int, sample: Sample) -> Item:
        """Image i in its frame and nothing else, with the numbers that lead back to the original."""
        picture = self.fetch(i)
        size = picture.image.shape[:2]
        plan = plan_letterbox(size, self.frame(i), scale_up=False)
        gain = (size[1] / sample.size[1] * plan.ratio[0], size[0] / sample.size[0] * plan.ratio[1])
        boxes = picture.labels.boxes * np.array(plan.ratio * 2, np.float32) + np.array(
            plan.pad * 2, np.float32
        )
        image = paste_letterbox(picture.image, plan).transpose(2, 0, 1)
        return Item(
            image,
            clip_boxes(boxes, plan.size),
            picture.labels.classes,
            i,
            sample.size,
            gain,
            plan.pad,
        )


def _scale_labels(sample: Sample, size: Size) -> Labels:
    """Labels of a sample in pixels of the image resized to (height, width)."""
    gain = np.array([size[1] / sample.size[1], size[0] / sample.size[0]], dtype=np.float32)
    boxes = sample.boxes * np.concatenate([gain, gain])
    if not sample.segments:
        return Labels(boxes, sample.classes)
    outlines = [
        part if len(part) else _corners(box)
        for part, box in zip(sample.segments, sample.boxes, strict=True)
    ]
    counts = np.array([len(outline) for outline in outlines])
    return Labels(boxes, sample.classes, np.concatenate(outlines) * gain, counts)


def _corners(box: np.ndarray) -> np.ndarray:
    """The outline [4, 2] of an object that has only a box [4], among others that have polygons."""
    return box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)


def _no_labels() -> Labels:
    return Labels(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64))


def _grey_image(size: Size) -> np.ndarray:
    return np.full((*size, 3), GREY, dtype=np.uint8)
