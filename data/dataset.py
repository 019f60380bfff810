"""Items: pixels and labels of image i in epoch e, with draws that depend on i, e and the seed.

Labels come from data/index.py, pixels from data/pixels.py, transforms from data/augment.py,
data/compose.py and data/mix.py; data/loader.py makes batches of the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from data.augment import GREY, Finish, apply_finish, draw_finish, paste_letterbox, resize
from data.compose import Tile, View, compose
from data.geometry import (
    Affine,
    Letterbox,
    Size,
    box_corners,
    draw_affine,
    plan_letterbox,
    rect_shapes,
    resized_size,
)
from data.grey import COLOUR, ONE_GREY
from data.image_header import ImageError
from data.index import DatasetIndex
from data.labelled import LabelledImage, Labels, Result, UnreadImage
from data.mix import MIXUP_BETA, Mosaic, draw_mosaic, make_mosaic, mixup
from data.pixels import ImageList, open_pixels
from data.sample import Sample
from utils.boxes import clip_boxes
from utils.config import Hyperparameters
from utils.seeds import stream
from utils.structures import Item

ALL, BATCH = "all", "batch"  # values of DatasetSettings.mosaic_pool


@dataclass(frozen=True)
class DatasetSettings:
    """The settings by which images become items.

    Attributes:
        imgsz: Long side of an item, pixels.
        hyp: Probabilities and gains of the transforms.
        augment: Apply random transforms.
        batch_size: Number of images in a batch.
        stride: Sides of rect frames are multiples of it, pixels.
        rect: Batch images of similar proportions in a common frame, instead of in squares.
        pad: Extra border of rect frames, strides.
        seed: Seed of all draws.
        cache: Where decoded images are kept: auto, ram, disk or no.
        copies: Number of processes that each hold a cache.
        channels: Of the items: 3 for RGB, or 1 for grey, which leaves the colour transform out.
        mosaic_pool: Where the partners of a mosaic come from: all images, or the same batch.
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
    channels: int = COLOUR
    mosaic_pool: str = ALL


class ItemKey(NamedTuple):
    """The key of an item: all it depends on besides data and settings.

    Attributes:
        number: Number of the image in the index.
        epoch: The epoch.
        repeat: Number of earlier occurrences of the image in this epoch.
        mosaic: False once the epochs with mosaics are over.
        pool: Numbers of the images that may join a mosaic, or () for all.
    """

    number: int
    epoch: int
    repeat: int = 0
    mosaic: bool = True
    pool: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """All draws of one item.

    Attributes:
        mosaics: No mosaic, one, or two for mixup.
        mix_share: Weight of the first of two mosaics.
        affine: The map of an item without a mosaic.
        finish: The draws of colours and flips.
    """

    mosaics: tuple[Mosaic, ...]
    mix_share: float
    affine: Affine
    finish: Finish


def draw_recipe(
    rng: np.random.Generator, index: int, pool: Sequence[int], settings: DatasetSettings
) -> Recipe:
    """Draw the transforms of an item.

    Args:
        rng: Gives all draws.
        index: Number of the image.
        pool: Numbers of the images that may join a mosaic, or () for no mosaic.
        settings: The settings, for imgsz and hyp.

    Returns:
        The draws.
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
    """The items of an index, made by its settings.

    failures maps the paths of images that could not be read to the reason; read_count counts those
    that could. An image that cannot be read is grey. It has no labels where it is learnt from, and
    keeps them where it is scored, so that its objects are missed.
    """

    def __init__(self, index: DatasetIndex, settings: DatasetSettings) -> None:
        self.index, self.settings = index, settings
        self.failures: dict[str, str] = {}
        self.read_count = 0
        self.watched = np.zeros(3, np.int64)  # a row of data/watchdog.py in a worker process
        self._kept: dict[int, LabelledImage] | None = None
        self._is_grey = settings.channels == ONE_GREY
        images = ImageList(index, settings.imgsz, not settings.augment, self._is_grey)
        self.pixels = open_pixels(images, settings.cache, settings.copies)
        if settings.rect:
            grid = (settings.imgsz, settings.stride, settings.pad)
            self.order, self.shapes = rect_shapes(index.sizes, settings.batch_size, grid)
            self._place = np.argsort(self.order)

    def __len__(self) -> int:
        return len(self.index)

    def item(self, i: int, epoch: int) -> Item:
        """Item i of an epoch; it depends on neither the process nor the order of access."""
        return self[ItemKey(i, epoch)]

    def __getitem__(self, key: ItemKey) -> Item:
        sample = self.index[key.number]
        if not self.settings.augment:
            return self._plain_item(key.number, sample)
        pool: Sequence[int] = key.pool or range(len(self))
        repeat = (key.repeat,) if key.repeat else ()
        rng = stream(self.settings.seed, key.epoch, key.number, *repeat)
        if self.settings.rect or not key.mosaic:
            pool = ()
        recipe = draw_recipe(rng, key.number, pool, self.settings)
        image, boxes, classes = (
            self._mixed(recipe) if recipe.mosaics else self._single(key.number, recipe)
        )
        finish = replace(recipe.finish, hsv=(1.0, 1.0, 1.0)) if self._is_grey else recipe.finish
        boxes = apply_finish(image, boxes, finish)
        pixels = image.transpose(2, 0, 1)[: self.settings.channels]
        return Item(pixels, boxes, classes, key.number, sample.size)

    def frame(self, i: int) -> Size:
        """(height, width) of item i, pixels."""
        if not self.settings.rect:
            return (self.settings.imgsz, self.settings.imgsz)
        height, width = self.shapes[self._place[i] // self.settings.batch_size].tolist()
        return height, width

    def fetch(self, i: int) -> UnreadImage:
        """Image i, its long side imgsz, with its labels at that size; it is read when needed."""
        sample = self.index[i]
        size = resized_size(sample.size, self.settings.imgsz)
        labels = _scale_labels(sample, size)

        def load(rows: int | None = None) -> LabelledImage:
            if self._kept is None:
                return self._read(i, sample, labels, rows)
            if i not in self._kept:
                self._kept[i] = self._read(i, sample, labels)
            return self._kept[i]

        return UnreadImage(size, labels, load)

    def items(self, keys: Sequence[ItemKey]) -> list[Item]:
        """The items of a batch; where they share their images, each image is read once."""
        shared = self.settings.mosaic_pool == BATCH and self.pixels.mode == "no"
        self._kept = {} if shared else None
        try:
            return [self[key] for key in keys]
        finally:
            self._kept = None

    def _read(
        self, i: int, sample: Sample, labels: Labels, rows: int | None = None
    ) -> LabelledImage:
        """Image i with these labels; a grey one, without labels to be learnt, if that fails."""
        self.watched[1] = i + 1
        self.watched[2] += 1
        try:
            pixels = self.pixels.read(i, rows)
        except (ImageError, OSError) as error:
            self.failures[sample.path] = str(error)
            grey = _grey_image(resized_size(sample.size, self.settings.imgsz))
            return LabelledImage(grey, _no_labels() if self.settings.augment else labels)
        self.read_count += 1
        return LabelledImage(pixels, labels)

    def _mixed(self, recipe: Recipe) -> Result:
        results = [make_mosaic(draw, self.fetch, self.settings.imgsz) for draw in recipe.mosaics]
        return mixup(results[0], results[1], recipe.mix_share) if len(results) == 2 else results[0]

    def _single(self, i: int, recipe: Recipe) -> Result:
        """One image in its frame, moved by the recipe's affine map."""
        image, plan = self._framed(i)
        view = View(plan.size, plan.size, recipe.affine)
        return compose([Tile(image, (plan.corner[1], plan.corner[0]))], view)

    def _framed(self, i: int) -> tuple[LabelledImage, Letterbox]:
        """Image i at its size in the frame, and its place there."""
        image = self.fetch(i).load(None)
        size = image.size
        plan = plan_letterbox(size, self.frame(i), scale_up=self.settings.augment)
        if plan.inner == size:
            return image, plan
        gain = np.array([plan.inner[1] / size[1], plan.inner[0] / size[0]] * 2, dtype=np.float32)
        old = image.labels
        points = None if old.points is None else old.points * gain[:2]
        labels = Labels(old.boxes * gain, old.classes, points, old.counts)
        return LabelledImage(resize(image.pixels, plan.inner, smooth=False), labels), plan

    def _plain_item(self, i: int, sample: Sample) -> Item:
        """Image i in its frame without augmentation, with the map from the original pixels."""
        import cv2

        image = self.fetch(i).load(None)
        size, labels = image.size, image.labels
        plan = plan_letterbox(size, self.frame(i), scale_up=False)
        gain = (size[1] / sample.size[1] * plan.ratio[0], size[0] / sample.size[0] * plan.ratio[1])
        shift = np.array(plan.pad * 2, np.float32)
        boxes = clip_boxes(labels.boxes * np.array(plan.ratio * 2, np.float32) + shift, plan.size)
        framed = paste_letterbox(cv2.cvtColor(image.pixels, cv2.COLOR_BGR2RGB), plan)
        pixels = framed.transpose(2, 0, 1)[: self.settings.channels]
        return Item(pixels, boxes, labels.classes, i, sample.size, gain, plan.pad)


def _scale_labels(sample: Sample, size: Size) -> Labels:
    """The labels of a sample in pixels of its image resized to (height, width)."""
    gain = np.array([size[1] / sample.size[1], size[0] / sample.size[0]], dtype=np.float32)
    boxes = sample.boxes * np.concatenate([gain, gain])
    if not sample.segments:
        return Labels(boxes, sample.classes)
    # Among objects with polygons, one that has only a box gets its corners as outline.
    corners = box_corners(sample.boxes)
    outlines = [
        part if len(part) else box for part, box in zip(sample.segments, corners, strict=True)
    ]
    counts = np.array([len(outline) for outline in outlines])
    return Labels(boxes, sample.classes, np.concatenate(outlines) * gain, counts)


def _no_labels() -> Labels:
    return Labels(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64))


def _grey_image(size: Size) -> np.ndarray:
    return np.full((*size, 3), GREY, dtype=np.uint8)
