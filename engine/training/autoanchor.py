"""AutoAnchor: whether the anchors fit the labelled boxes, and which ones would fit better.

Before training, model.py passes the data index and the head's anchors, and gives the new anchors to
the model. The search is k-means, then mutation and selection, as in YOLOv5. Every draw comes from
the stream that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Anchors = tuple[tuple[tuple[float, float], ...], ...]
GOOD_RECALL = 0.98  # share of boxes with a matching anchor above which anchors are kept
SMALLEST_PX = 2.0  # smallest side of an anchor; boxes with both sides below it are skipped
GENERATIONS = 1000
BLOCK_BOXES = 2048
SEARCH_BOXES = 20_000  # more boxes are sampled, since the search would take minutes for no gain


class LabelSizes(Protocol):
    """The part of data.index.DatasetIndex that the search needs."""

    @property
    def sizes(self) -> np.ndarray:
        """[n, 2] (h, w) of the images."""

    @property
    def boxes(self) -> np.ndarray:
        """[M, 4] corners in pixels of the images, image after image."""

    @property
    def offsets(self) -> np.ndarray:
        """[n + 1] row in boxes at which each image's boxes begin."""


@dataclass(frozen=True, slots=True)
class AnchorFit:
    """How well anchors fit boxes.

    Attributes:
        best: Best possible recall, the share of boxes that some anchor matches.
        above: Mean number of anchors that match a box.
    """

    best: float
    above: float


def check_anchors(
    labels: LabelSizes, anchors: Anchors, imgsz: int, ratio: float, stream: np.random.Generator
) -> Anchors | None:
    """Decide whether to replace a head's anchors, and print the decision.

    Args:
        labels: Sizes and boxes of the training images.
        anchors: The head's (width, height) in pixels, level by level.
        imgsz: Side of the training images, pixels.
        ratio: The loss's anchor_t, the largest ratio of sides at which an anchor matches a box.
        stream: The random stream of the search.

    Returns:
        Better anchors, with their levels in the same order, or None to keep the present ones.
    """
    # A graph that leaves its anchors open holds zeros, by which closeness() could not divide.
    old = np.array(anchors, dtype=np.float32).clip(1e-3)
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
    """Sides [M, 2] (width, height) of the boxes in training, pixels.

    The longer side of each image is imgsz, times a random factor from 0.9 to 1.1.

    Args:
        labels: Sizes and boxes of the training images.
        imgsz: Side of the training images, pixels.
        stream: The random stream of the factors.
    """
    scale = imgsz / labels.sizes.max(1, initial=1) * stream.uniform(0.9, 1.1, len(labels.sizes))
    per_box = np.repeat(scale, np.diff(labels.offsets))[:, None]
    sides = (labels.boxes[:, 2:4] - labels.boxes[:, :2]) * per_box
    return np.asarray(sides[(sides > 0).all(1)], dtype=np.float32)


def closeness(sides: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Closeness [A, M] in 0..1 of boxes [M, 2] and anchors [A, 2].

    It is the ratio of the smaller to the larger side, of width or height, whichever is lower.
    """
    wide = sides[:, 0] / anchors[:, :1]
    tall = sides[:, 1] / anchors[:, 1:]
    larger = np.maximum(wide, tall)
    alike: np.ndarray = np.minimum(wide, tall, out=wide)
    np.minimum(alike, np.divide(1, larger, out=larger), out=alike)
    return alike


def measure_fit(sides: np.ndarray, anchors: np.ndarray, ratio: float) -> AnchorFit:
    """Measure how well anchors fit boxes.

    Args:
        sides: [M, 2] of the boxes, M > 0.
        anchors: [A, 2].
        ratio: Largest ratio of sides at which an anchor matches a box.
    """
    matches = closeness(sides, anchors) > 1 / ratio
    return AnchorFit(float(matches.any(0).mean()), float(matches.sum(0).mean()))


def fitness(sides: np.ndarray, anchors: np.ndarray, ratio: float) -> float:
    """The mean closeness of each box to its best anchor, which the search maximises.

    Args:
        sides: [M, 2] of the boxes, M > 0.
        anchors: [A, 2].
        ratio: Largest ratio of sides of a match; a box without a match counts as 0.
    """
    # A block of boxes at a time stays in the processor's cache through all steps.
    blocks = (sides[at : at + BLOCK_BOXES] for at in range(0, len(sides), BLOCK_BOXES))
    best = np.concatenate([closeness(block, anchors).max(0) for block in blocks])
    return float((best * (best > 1 / ratio)).mean(dtype=np.float64))


def find_anchors(
    sides: np.ndarray,
    count: int,
    imgsz: int,
    ratio: float,
    stream: np.random.Generator,
    generations: int = GENERATIONS,
) -> np.ndarray:
    """Search for the anchors that fit boxes best.

    Args:
        sides: [M, 2] of the boxes, M > 0.
        count: Number of anchors.
        imgsz: Side of the training images, pixels.
        ratio: Largest ratio of sides at which an anchor matches a box.
        stream: The random stream of the search.
        generations: Rounds of mutation and selection.

    Returns:
        [count, 2] by ascending area.
    """
    if len(sides) > SEARCH_BOXES:
        sides = sides[stream.choice(len(sides), SEARCH_BOXES, replace=False)]
    usable = sides[(sides >= SMALLEST_PX).any(1)]
    spread = usable.std(0) if len(usable) else np.zeros(2)
    if spread.all() and len(np.unique(usable, axis=0)) > count:
        # Both directions get the same spread, or the larger one would dominate the distances.
        anchors = cluster(usable / spread, count, stream) * spread
    else:  # too few different boxes to cluster
        anchors = stream.uniform(SMALLEST_PX, imgsz, (count, 2))
    anchors = mutate(sides, by_area(anchors), ratio, stream, generations)
    return by_area(anchors)


def by_area(anchors: np.ndarray) -> np.ndarray:
    """The anchors [A, 2] by ascending area."""
    return anchors[np.argsort(anchors.prod(1), kind="stable")].astype(np.float32)


def cluster(
    points: np.ndarray, count: int, stream: np.random.Generator, restarts: int = 30
) -> np.ndarray:
    """Run k-means (Lloyd) several times, and return the centres with the least mean distance.

    Args:
        points: [M, 2].
        count: Number of centres.
        stream: Chooses the first centres of each restart among the points.
        restarts: Number of runs.

    Returns:
        [count, 2].
    """
    best, least = points[:count], np.inf
    columns = np.ascontiguousarray(points.T)
    for _ in range(restarts):
        centres = points[stream.choice(len(points), count, replace=False)]
        previous = np.inf
        while True:
            squares = (columns[0] - centres[:, :1]) ** 2 + (columns[1] - centres[:, 1:]) ** 2
            nearest = squares.argmin(0)
            mean = np.hypot(*(points - centres[nearest]).T).mean()
            if previous - mean <= 1e-5:
                break
            previous = mean
            centres = move_centres(points, centres, nearest)
        if mean < least:
            best, least = centres, mean
    return best


def move_centres(points: np.ndarray, centres: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Move each centre to the mean of the points nearest to it; one without points stays.

    Args:
        points: [M, 2].
        centres: [count, 2].
        nearest: [M] the number of each point's nearest centre.
    """
    counts = np.bincount(nearest, minlength=len(centres))
    sums = np.stack([np.bincount(nearest, points[:, axis], len(centres)) for axis in range(2)], 1)
    means = sums / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, centres)


def mutate(
    sides: np.ndarray,
    anchors: np.ndarray,
    ratio: float,
    stream: np.random.Generator,
    generations: int,
) -> np.ndarray:
    """Multiply anchors by random factors and keep the fitter ones, again and again.

    Args:
        sides: [M, 2] of the boxes.
        anchors: [A, 2] to start from.
        ratio: Largest ratio of sides at which an anchor matches a box.
        stream: The random stream of the factors.
        generations: Number of rounds.
    """
    best = fitness(sides, anchors, ratio)
    for _ in range(generations):
        # About 90 % of the sides change, all with one random step size per generation.
        chosen = stream.random(anchors.shape) < 0.9
        factors = 1 + chosen * stream.random() * stream.standard_normal(anchors.shape) * 0.1
        child = np.maximum(anchors * factors.clip(0.3, 3.0), SMALLEST_PX).astype(np.float32)
        reached = fitness(sides, child, ratio)
        if reached > best:
            anchors, best = child, reached
    return anchors


def order_anchors(anchors: np.ndarray, guide: Sequence[float] | np.ndarray) -> np.ndarray:
    """Reverse the levels of anchors [L, A, 2] if their mean areas run against the guide.

    guide holds [L] numbers that rise or fall with the levels, such as strides.
    """
    areas = anchors.prod(2).mean(1)
    against = (areas[-1] - areas[0]) * (guide[-1] - guide[0]) < 0
    return anchors[::-1].copy() if against else anchors
