"""Weights of --image-weights: images of rare and of badly found classes are drawn more often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.index import DatasetIndex


def focused_image_weights(index: DatasetIndex, class_ap: Sequence[float]) -> np.ndarray:
    """Relative chances [n] of the images to be drawn.

    class_ap holds the AP of each class in the last validation; () before the first one.
    """
    weights = class_weights(index.classes, len(index.names))
    focused = focus_on_weak(weights, np.array(class_ap or [0.0] * len(weights)))
    return image_weights(index.classes, index.offsets, focused)


def class_weights(classes: np.ndarray, class_count: int) -> np.ndarray:
    """Weights [nc] in inverse proportion to the frequency of each class; their sum is 1.

    classes holds the class [M] of every label. A class that never occurs counts as occurring once.
    """
    counts = np.bincount(classes.astype(int), minlength=class_count).astype(float)
    weights = 1 / np.maximum(counts, 1)
    shares: np.ndarray = weights / weights.sum()
    return shares


def focus_on_weak(weights: np.ndarray, ap: np.ndarray) -> np.ndarray:
    """Reduce the weights [nc] of classes that are found well, by their AP [nc] in 0..1."""
    focused: np.ndarray = weights * (1 - ap) ** 2
    return focused


def image_weights(classes: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum of class weights over each image's labels: [n].

    Args:
        classes: [M] the class of every label, image after image.
        offsets: [n + 1] the row in classes at which each image's labels begin.
        weights: [nc] the weight of each class.
    """
    running = np.concatenate(([0.0], np.cumsum(weights[classes.astype(int)])))
    sums: np.ndarray = running[offsets[1:]] - running[offsets[:-1]]
    return sums
