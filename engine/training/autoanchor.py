"""AutoAnchor: do the anchors fit the labelled boxes, and if not, which ones would?

Takes sizes and boxes of the data index and a head's anchors, before training; train.py gives the
new ones, if any, to the model. The search is k-means, then mutation and selection, as in YOLOv5;
every draw comes from the stream handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Anchors = tuple[tuple[tuple[float, float], ...], ...]
GOOD_RECALL = 0.98  # share of boxes with a matching anchor above which anchors are kept
SMALLEST_PX = 2.0  # boxes below it on both sides do not take part, and no anchor side gets below it
GENERATIONS = 1000
SEARCH_BOXES = 20_000  # more than these are sampled; the search would take minutes and end the same


class LabelSizes(Protocol):
    """What is needed of data.index.DatasetIndex."""

    @property
    def sizes(self) -> np.ndarray:
        """[n, 2] (h, w) of the images."""

    @property
    def boxes(self) -> np.ndarray:
        """[M, 4] corners in pixels of the images, image after image."""

    @property
    def offsets(self) -> np.ndarray:
        """[n + 1] where each image's boxes begin."""


@dataclass(frozen=True, slots=True)
class AnchorFit:
    """best: best possible recall, the share of boxes that some anchor matches. above: mean anchors
    matching a box.
    """

    best: float
    above: float


def check_anchors(
    labels: LabelSizes, anchors: Anchors, imgsz: int, ratio: float, stream: np.random.Generator
) -> Anchors | None:
    """Decide about a head's anchors (HeadSpec.anchors, pixels, level by level) and print a sentence
    on it.

    imgsz: side of the training images. ratio: the loss's anchor_t. Returns better anchors of the
    same form, their levels in the same order, or None to keep the present ones.
    """
    old = np.array(anchors, dtype=np.float32).clip(
        1e-3
    )  # placeholders of a graph that leaves anchors open hold zeros
    sides = training_sides(labels, imgsz, stream)
    if not len(sides):
        print("AutoAnchor: no labelled boxes, anchors kept")
        return None
    fit = measure_fit(sides, old.reshape(-1, 2), ratio)
    report = f"AutoAnchor: {fit.above:.2f} anchors per box, best possible recall {fit.best:.4f}"
    if fit.best > GOOD_RECALL:
        print(f"{report}; anchors fit, kept")
        return None
    new = find_anchors(sides, old.shape[0] * old.shape[1], imgsz, ratio, stream)
    better = measure_fit(sides, new, ratio)
    if better.best <= fit.best:
        print(f"{report}; nothing better found, anchors kept")
        return None
    print(f"{report}; replaced, now {better.above:.2f} and {better.best:.4f}")
    levels = order_anchors(new.reshape(old.shape), old.prod(2).mean(1))
    return tuple(
        tuple((float(width), float(height)) for width, height in level) for level in levels
    )


def training_sides(labels: LabelSizes, imgsz: int, stream: np.random.Generator) -> np.ndarray:
    """(width, height) [M, 2] that the boxes have in training: the image's longer side imgsz,
    times 0.9 to 1.1.
    """
    scale = imgsz / labels.sizes.max(1, initial=1) * stream.uniform(0.9, 1.1, len(labels.sizes))
    per_box = np.repeat(scale, np.diff(labels.offsets))[:, None]
    sides = (labels.boxes[:, 2:4] - labels.boxes[:, :2]) * per_box
    return sides[(sides > 0).all(1)].astype(np.float32)


def closeness(sides: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes [M, 2], anchors [A, 2] -> [A, M] in 0..1: the smaller over the larger side, in the
    worse direction.
    """
    wide = sides[:, 0] / anchors[:, :1]
    tall = sides[:, 1] / anchors[:, 1:]
    return np.minimum(np.minimum(wide, tall), 1 / np.maximum(wide, tall))


def measure_fit(sides: np.ndarray, anchors: np.ndarray, ratio: float) -> AnchorFit:
    """How anchors [A, 2] fit boxes [M, 2], M > 0, when sides may differ `ratio` times."""
    matches = closeness(sides, anchors) > 1 / ratio
    return AnchorFit(float(matches.any(0).mean()), float(matches.sum(0).mean()))


def fitness(sides: np.ndarray, anchors: np.ndarray, ratio: float) -> float:
    """Mean closeness of the best anchor, where unmatched boxes count 0: what the search maximises.

    M > 0.
    """
    best = closeness(sides, anchors).max(0)
    return float((best * (best > 1 / ratio)).mean(dtype=np.float64))


def find_anchors(
    sides: np.ndarray,
    count: int,
    imgsz: int,
    ratio: float,
    stream: np.random.Generator,
    generations: int = GENERATIONS,
) -> np.ndarray:
    """The best `count` anchors [A, 2] found for boxes [M, 2], M > 0, by ascending area."""
    if len(sides) > SEARCH_BOXES:
        sides = sides[stream.choice(len(sides), SEARCH_BOXES, replace=False)]
    usable = sides[(sides >= SMALLEST_PX).any(1)]
    spread = usable.std(0) if len(usable) else np.zeros(2)
    if spread.all() and len(np.unique(usable, axis=0)) > count:
        anchors = cluster(usable / spread, count, stream) * spread
    else:  # too few different boxes to cluster
        anchors = stream.uniform(SMALLEST_PX, imgsz, (count, 2))
    anchors = mutate(sides, by_area(anchors), ratio, stream, generations)
    return by_area(anchors)


def by_area(anchors: np.ndarray) -> np.ndarray:
    return anchors[np.argsort(anchors.prod(1), kind="stable")].astype(np.float32)


def cluster(
    points: np.ndarray, count: int, stream: np.random.Generator, restarts: int = 30
) -> np.ndarray:
    """k-means (Lloyd): points [M, 2] -> the centres [count, 2] with the least mean distance of all
    restarts.
    """
    best, least = points[:count], np.inf
    for _ in range(restarts):
        centres = points[stream.choice(len(points), count, replace=False)]
        previous = np.inf
        while True:
            distance = np.hypot(*(points[:, None] - centres).transpose(2, 0, 1))
            nearest = distance.argmin(1)
            mean = distance.min(1).mean()
            if previous - mean <= 1e-5:
                break
            previous = mean
            centres = move_centres(points, centres, nearest)
        if mean < least:
            best, least = centres, mean
    return best


def move_centres(points: np.ndarray, centres: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Each centre to the mean of the points nearest to it; one without points stays."""
    counts = np.bincount(nearest, minlength=len(centres))
    sums = np.stack([np.bincount(nearest, points[:, axis], len(centres)) for axis in range(2)], 1)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)


def mutate(
    sides: np.ndarray,
    anchors: np.ndarray,
    ratio: float,
    stream: np.random.Generator,
    generations: int,
) -> np.ndarray:
    """Multiply anchors [A, 2] by random factors, keep what is fitter, `generations` times over."""
    best = fitness(sides, anchors, ratio)
    for _ in range(generations):
        chosen = stream.random(anchors.shape) < 0.9
        factors = 1 + chosen * stream.random() * stream.standard_normal(anchors.shape) * 0.1
        child = np.maximum(anchors * factors.clip(0.3, 3.0), SMALLEST_PX).astype(np.float32)
        reached = fitness(sides, child, ratio)
        if reached > best:
            anchors, best = child, reached
    return anchors


def order_anchors(anchors: np.ndarray, guide: Sequence[float] | np.ndarray) -> np.ndarray:
    """Anchors [L, A, 2] with the levels turned round if their mean areas run against guide [L],
    such as the strides.
    """
    areas = anchors.prod(2).mean(1)
    against = (areas[-1] - areas[0]) * (guide[-1] - guide[0]) < 0
    return anchors[::-1].copy() if against else anchors
