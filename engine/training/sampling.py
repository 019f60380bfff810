"""Class weights and image weights for --image-weights: badly found and rare classes are drawn
more often.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.index import DatasetIndex


def focused_image_weights(index: DatasetIndex, class_ap: Sequence[float]) -> np.ndarray:
    """How often each image is to be drawn, relative to the others: [n].

    class_ap: of each class in the last validation; () before the first one.
    """
    weights = class_weights(index.classes, len(index.names))
    focused = focus_on_weak(weights, np.array(class_ap or [0.0] * len(weights)))
    return image_weights(index.classes, index.offsets, focused)


def class_weights(classes: np.ndarray, class_count: int) -> np.ndarray:
    """[M] classes of all labels -> [nc] weights in inverse proportion to how often each occurs, sum
    1.

    A class that never occurs counts as if it did once.
    """
    counts = np.bincount(classes.astype(int), minlength=class_count).astype(float)
    weights = 1 / np.maximum(counts, 1)
    return weights / weights.sum()


def focus_on_weak(weights: np.ndarray, ap: np.ndarray) -> np.ndarray:
    """Class weights [nc] and AP of each class [nc] -> class weights [nc] that shrink as a class is
    found well.
    """
    return weights * (1 - ap) ** 2


def image_weights(classes: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of class weights over each image's labels: [n].

    classes: [M] of all labels, image after image. offsets: [n + 1] where each image's begin.
    weights: [nc].
    """
    running = np.concatenate(([0.0], np.cumsum(weights[classes.astype(int)])))
    return running[offsets[1:]] - running[offsets[:-1]]
