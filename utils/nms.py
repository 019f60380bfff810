"""Non-maximum suppression: from a head's decoded boxes to the detections of each image.

models/yolo.py in evaluation mode makes the boxes; val.py and detect.py use the detections. There is
no time limit, so a busy machine makes it slower but never changes its result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from utils.boxes import xywh_to_xyxy
from utils.families import Family
from utils.nms_settings import MOST_CANDIDATES, NMSSettings

# Boxes are shifted by this times their class number, so that classes do not overlap and one call
# suppresses all of them. The value, and adding it in float32, are as in YOLOv5.
CLASS_OFFSET_PX = 7680.0
FIRST_LOOK = 2048  # candidates tried first: usually enough to fill max_det


@cache
def load_operator() -> Callable[[Tensor, Tensor, float], Tensor]:
    """Load torchvision's compiled operators, and return the one that suppresses boxes.

    The package around them is imported only if its compiled file has an unknown name: its models
    and data sets take a second or two, which would be counted as the first image's time.
    """
    package = find_spec("torchvision")
    folder = Path(package.origin).parent if package and package.origin else Path()
    for library in folder.glob("_C*.so"):
        with contextlib.suppress(OSError):  # the import below says what is wrong with it
            torch.ops.load_library(library)
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision.ops  # noqa: F401
    operator: Callable[[Tensor, Tensor, float], Tensor] = torch.ops.torchvision.nms
    return operator


def non_max_suppression(
    decoded: Tensor,
    family: Family,
    settings: NMSSettings | None = None,
    labels: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Suppress duplicate boxes, and return the detections of each image.

    A score is a class probability, times the objectness if the family has one.

    Args:
        decoded: [B, N, 5 + nc] x, y, w, h in pixels, objectness, class probabilities; [B, N,
            4 + nc] of a family without objectness.
        family: The family of the head that made them.
        settings: Which detections are kept; None for the defaults.
        labels: B tensors [m, 5] class, x1, y1, x2, y2 in the same pixels, which are added as boxes
            with score 1 (hybrid labels).

    Returns:
        B tensors [n, 6] float32 x1, y1, x2, y2, score, class, by descending score; boxes of equal
        score stay in the order of `decoded`.
    """
    settings = settings or NMSSettings()
    # The host waits for an accelerator at every selection, so the images of a batch share them. A
    # CPU has no such waits, and image by image it needs less memory.
    at_once = 1 if decoded.device.type == "cpu" else max(len(decoded), 1)
    found: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(decoded), at_once):
            some = slice(start, start + at_once)
            known = labels[some] if labels else ()
            for rows in select(decoded[some], family, settings, known):
                found.append(suppress(rows, settings))
    return found


def select(
    decoded: Tensor, family: Family, settings: NMSSettings, labels: Sequence[Tensor] = ()
) -> tuple[Tensor, ...]:
    """The input of suppression of each image: [m, 6] corners, score and class, best score first.

    The arguments are those of non_max_suppression().
    """
    images, boxes = decoded.shape[:2]
    first, objectness = family.box_columns, family.has_objectness
    hopeful = (decoded[..., 4] if objectness else decoded[..., 4:].amax(-1)) > settings.conf
    # The objectness, or else the best class, bounds all scores, so most boxes are dropped here.
    place = hopeful.flatten().nonzero()[:, 0]
    rows = decoded.flatten(0, 1)[place].float()
    image = place // boxes if images > 1 else torch.zeros_like(place)
    rows, image = add_labels(rows, image, labels, first)
    scores = rows[:, 5:] * rows[:, 4:5] if objectness else rows[:, 4:]
    row, score, label = candidates(scores, settings)
    chosen, counts = best_first(score, image[row], images)
    corners = xywh_to_xyxy(rows[row[chosen], :4])
    found = torch.cat((corners, score[chosen, None], label[chosen, None].to(corners.dtype)), 1)
    return tuple(part[:MOST_CANDIDATES] for part in found.split(counts))


def add_labels(
    rows: Tensor, image: Tensor, labels: Sequence[Tensor], first: int
) -> tuple[Tensor, Tensor]:
    """Append labels to rows as predictions with score 1.

    Args:
        rows: [n, first + nc] decoded boxes.
        image: [n] the number of each row's image.
        labels: Per image [m, 5] class and corners, in pixels; empty for none.
        first: Column of the first class.

    Returns:
        The rows and the numbers, with those of the labels behind them.
    """
    known = torch.cat([*labels, rows.new_zeros(0, 5)])
    if not len(known):
        return rows, image
    certain = rows.new_zeros((len(known), rows.shape[1]))
    low, high = known[:, 1:3], known[:, 3:5]
    certain[:, :4] = torch.cat(((low + high) / 2, high - low), 1)
    certain[:, 4:first] = 1
    certain[torch.arange(len(known), device=rows.device), first + known[:, 0].long()] = 1
    owners = [image.new_full((len(part),), number) for number, part in enumerate(labels)]
    return torch.cat((rows, certain)), torch.cat((image, *owners))


def candidates(scores: Tensor, settings: NMSSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Row, score and class of each box that is kept for suppression, [m] each.

    Args:
        scores: [n, nc] in 0..1.
        settings: conf, classes and multi_label are read.
    """
    if settings.multi_label and scores.shape[1] > 1:
        row, label = (scores > settings.conf).nonzero(as_tuple=True)
        score = scores[row, label]
    else:
        best, best_label = scores.max(1)
        row = (best > settings.conf).nonzero()[:, 0]
        score, label = best[row], best_label[row]
    if settings.classes is not None:
        kept = torch.tensor(settings.classes, device=label.device, dtype=label.dtype)
        wanted = torch.isin(label, kept).nonzero()[:, 0]
        row, label, score = row[wanted], label[wanted], score[wanted]
    return row, score, label


def best_first(scores: Tensor, image: Tensor, images: int) -> tuple[Tensor, list[int]]:
    """Order scores by image, and within an image best first; equal ones keep their order.

    Args:
        scores: [n] in any order.
        image: [n] the number of each one's image.
        images: How many there are.

    Returns:
        Indices of the scores, of a single image at most the MOST_CANDIDATES highest, and their
        count in each image.
    """
    if images == 1:
        order = _best_of_one(scores)
        return order, [len(order)]
    order = scores.sort(descending=True, stable=True).indices
    owner, by_image = image[order].sort(stable=True)
    ends = torch.searchsorted(owner, torch.arange(images + 1, device=owner.device)).tolist()
    return order[by_image], [end - start for start, end in pairwise(ends)]


def _best_of_one(scores: Tensor) -> Tensor:
    """Indices of the MOST_CANDIDATES highest scores [n], best first; ties keep their order."""
    if len(scores) <= MOST_CANDIDATES:
        return scores.sort(descending=True, stable=True).indices
    bound = scores.topk(MOST_CANDIDATES, sorted=False).values.min()
    among = (scores >= bound).nonzero()[:, 0]  # a few more than wanted if scores are equal there
    return among[scores[among].sort(descending=True, stable=True).indices[:MOST_CANDIDATES]]


def suppress(found: Tensor, settings: NMSSettings) -> Tensor:
    """The best max_det survivors [n, 6] of greedy suppression of candidates [m, 6], best first."""
    if not len(found):
        return found
    nms = load_operator()
    boxes = found[:, :4] if settings.agnostic else found[:, :4] + found[:, 5:6] * CLASS_OFFSET_PX
    # Whether a candidate survives depends on better ones only. So the beginning of the list is
    # tried first, and then more of it until there are max_det survivors. The result is that of the
    # whole list, with much less work if nearly all candidates survive.
    length = FIRST_LOOK
    while True:
        kept = nms(boxes[:length], found[:length, 4], settings.iou)
        if len(kept) >= settings.max_det or length >= len(found):
            return found[kept[: settings.max_det]]
        length *= 4
