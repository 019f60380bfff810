"""Copy-paste: objects of an image pasted into it once more, mirrored (arXiv 2012.07177)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.labelled import Labels

PASTE_OVERLAP = 0.3  # a pasted object may hide less than this share of any box


def copy_paste(
    image: np.ndarray, labels: Labels, share: float, seed: int
) -> tuple[np.ndarray, Labels]:
    """Paste mirror images of randomly chosen objects, where they hide little of any box.

    Args:
        image: [H, W, 3] uint8, changed in place.
        labels: The objects, in pixels of image.
        share: Share of the objects to choose, 0 to 1.
        seed: Seed of the choice.

    Returns:
        The image and its labels, both unchanged if there are no polygons.
    """
    count = len(labels.boxes)
    chosen = np.random.default_rng(seed).permutation(count)[: round(share * count)]
    return paste_mirrored(image, labels, chosen)


def paste_mirrored(
    image: np.ndarray, labels: Labels, chosen: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, Labels]:
    """Paste chosen objects mirrored left to right, in turn, where they hide little of any box.

    Args:
        image: [H, W, 3] uint8, changed in place.
        labels: The objects, in pixels of image.
        chosen: Numbers of the objects to paste.

    Returns:
        The image and its labels, both unchanged if there are no polygons.
    """
    import cv2

    if labels.points is None or labels.counts is None:
        return image, labels
    width, ends = image.shape[1], np.cumsum(labels.counts)
    boxes, pasted, outlines = labels.boxes, [], []
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    for k in chosen:
        box = labels.boxes[k]
        mirror = np.array([[width - box[2], box[1], width - box[0], box[3]]], dtype=np.float32)
        if (_hidden_share(mirror[0], boxes) < PASTE_OVERLAP).all():
            outline = labels.points[ends[k] - labels.counts[k] : ends[k]]
            cv2.drawContours(mask, [outline.astype(np.int32)], -1, 1, cv2.FILLED)
            boxes = np.concatenate([boxes, mirror])
            outlines.append(np.stack([width - outline[:, 0], outline[:, 1]], 1))
            pasted.append(k)
    if not pasted:
        return image, labels
    where = cv2.flip(mask, 1).astype(bool)
    image[where] = cv2.flip(image, 1)[where]
    classes = np.concatenate([labels.classes, labels.classes[pasted]])
    points = np.concatenate([labels.points, *outlines])
    counts = np.concatenate([labels.counts, labels.counts[pasted]])
    return image, Labels(boxes, classes, points, counts)


def _hidden_share(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share [N] of each of the boxes others [N, 4] that box [4] covers."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area = (others[:, 2:] - others[:, :2]).prod(1)
    return np.maximum(sides, 0).prod(1) / (area + 1e-7)
