"""Non-maximum suppression: from a head's decoded boxes to the detections of each image.

models/yolo.py in evaluation mode makes the boxes; val.py and detect.py use the detections. There is
no time limit, so a busy machine makes it slower but never changes its result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.boxes import xywh_to_xyxy
from utils.families import Family
from utils.nms_settings import MOST_CANDIDATES, NMSSettings

# Boxes are shifted by this times their class number, so that classes do not overlap and one call
# suppresses all of them. The value, and adding it in float32, are as in YOLOv5.
CLASS_OFFSET_PX = 7680.0
FIRST_LOOK = 2048  # candidates tried first: usually enough to fill max_det


def load_operator() -> None:
    """Import torchvision now, which takes a second or two, so that no image's time includes it."""
    import torchvision.ops  # noqa: F401


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
    first, objectness = family.box_columns, family.has_objectness
    with torch.no_grad():
        hopeful = (decoded[..., 4] if objectness else decoded[..., 4:].amax(-1)) > settings.conf
        found = []
        # The objectness, or else the best class, bounds all scores, so most boxes are dropped here.
        for number, (rows, keep) in enumerate(zip(decoded, hopeful, strict=True)):
            rows = add_labels(rows[keep].float(), labels[number] if labels else None, first)
            scores = rows[:, 5:] * rows[:, 4:5] if objectness else rows[:, 4:]
            found.append(suppress(candidates(rows[:, :4], scores, settings), settings))
        return found


def add_labels(rows: Tensor, labels: Tensor | None, first: int) -> Tensor:
    """Append labels to rows as predictions with score 1.

    Args:
        rows: [n, first + nc] decoded boxes.
        labels: [m, 5] class and corners, in pixels.
        first: Column of the first class.
    """
    if labels is None or not len(labels):
        return rows
    certain = rows.new_zeros((len(labels), rows.shape[1]))
    low, high = labels[:, 1:3], labels[:, 3:5]
    certain[:, :4] = torch.cat(((low + high) / 2, high - low), 1)
    certain[:, 4:first] = 1
    certain[torch.arange(len(labels), device=rows.device), first + labels[:, 0].long()] = 1
    return torch.cat((rows, certain))


def candidates(boxes: Tensor, scores: Tensor, settings: NMSSettings) -> Tensor:
    """The input of suppression: [m, 6] corners, score and class, best score first.

    Args:
        boxes: [n, 4] centres and sizes, pixels.
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
        wanted = torch.isin(
            label, torch.tensor(settings.classes, device=label.device, dtype=label.dtype)
        )
        row, label, score = row[wanted], label[wanted], score[wanted]
    chosen = best_first(score)
    corners = xywh_to_xyxy(boxes[row[chosen]])
    return torch.cat((corners, score[chosen, None], label[chosen, None].to(corners.dtype)), 1)


def best_first(scores: Tensor) -> Tensor:
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
    from torchvision.ops import nms

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
