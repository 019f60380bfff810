"""Kinds of errors of detections, and what each costs in mAP50.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
https://arxiv.org/abs/2008.08115, section 2. A false detection is of the first kind that holds:

| kind | the detection |
|---|---|
| localisation | overlaps objects of its class, the best of them by IoU 0.1 to 0.5 |
| classification | overlaps an object of another class by 0.5 or more |
| duplicate | overlaps an object of its class by 0.5 or more, which another one has found |
| both | overlaps an object of another class by 0.1 to 0.5 |
| background | overlaps every object by less than 0.1 |

An object is missed if nothing has found it, and no error of classification or localisation is on
it. What a kind costs is the rise of mAP50 if it alone did not occur. The most confident wrong class
or place on an object that nothing has found is corrected, all others and the other kinds are taken
away, and missed objects are not counted. Costs do not add up to the missing mAP, since one error
hides others.

The paper leaves open which kind comes first where several hold, and which detection is corrected.
Both are here as the authors' program `tidecv` does it, and counts are equal where detections are
matched by YOLOv8's rule. Costs differ in that mAP50 follows the protocol of the validation, and
that `tidecv` counts classes that have detections but no labels as an AP of 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.evaluation.average_precision import ap_per_class
from utils.boxes import box_iou_array

FOUND, NEAR = 0.5, 0.1  # IoU: t_f and t_b of the paper
TRUE, IGNORED = -1, -2  # no error
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(KINDS))


@dataclass(frozen=True)
class Judged:
    """All labels of a data set, and all detections that count.

    Attributes:
        scores, classes: [n] of the detections, by descending score.
        kinds: [n] the number of a kind of KINDS, or TRUE.
        labels: [n] the label that a detection has found or lies on, -1 for none.
        labelled: [m] classes of the labels.
        known: [k] the classes that have labels, in the whole set.
    """

    scores: np.ndarray
    classes: np.ndarray
    kinds: np.ndarray
    labels: np.ndarray
    labelled: np.ndarray
    known: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """[m] bool, the labels that are missed."""
        near = np.isin(self.kinds, (TRUE, CLASSIFICATION, LOCALISATION))
        missed = np.ones(len(self.labelled), bool)
        missed[self.labels[near]] = False
        return missed

    def of(self, kind: int) -> np.ndarray:
        """[n] bool, the detections of a kind."""
        return np.asarray(self.kinds == kind)

    def chosen(self, rows: np.ndarray) -> Judged:
        """The same with some of the detections, [n] bool."""
        return Judged(
            self.scores[rows], self.classes[rows], self.kinds[rows], self.labels[rows],
            self.labelled, self.known,
        )  # fmt: skip


def judge_image(
    detections: np.ndarray, labels: np.ndarray, correct: np.ndarray, ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The kinds of an image's detections, and the labels that they have found or lie on.

    Args:
        detections: [n, 6] corners, score, class, by descending score.
        labels: [m, 5] class, corners in the same pixels.
        correct: [n] bool, the true ones at IoU .5.
        ignored: [n] bool, those that do not count.

    Returns:
        [n] kinds as in Judged or IGNORED, and [n] numbers of labels of this image, -1 for none.
    """
    kinds = np.where(correct, TRUE, np.where(ignored, IGNORED, BACKGROUND))
    places = np.full(len(detections), -1)
    if not len(labels) or not len(detections):
        return kinds, places
    overlap = box_iou_array(detections[:, :4], labels[:, 1:5])
    is_same = detections[:, 5:6] == labels[:, 0]
    same, other = np.where(is_same, overlap, -1), np.where(is_same, -1, overlap)
    free = np.ones(len(labels), bool)
    for row in np.flatnonzero(correct):
        places[row] = np.where(free, same[row], -2).argmax()
        free[places[row]] = False
    best, wrong = same.max(1), other.max(1)
    false = kinds == BACKGROUND
    # The last one that holds stays, so they stand from the weakest to the strongest.
    for kind, holds, at in (
        (BOTH, wrong >= NEAR, other),
        (DUPLICATE, best >= FOUND, same),
        (CLASSIFICATION, wrong >= FOUND, other),
        (LOCALISATION, (best >= NEAR) & (best < FOUND), same),
    ):
        rows = false & holds
        kinds[rows], places[rows] = kind, at[rows].argmax(1)
    return kinds, places


def judge(
    detections: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    correct: Sequence[np.ndarray],
    ignored: Sequence[np.ndarray],
) -> Judged:
    """Judge the images of a data set.

    Args:
        detections: Per image [n, 6] corners, score, class, by descending score.
        labels: Per image [m, 5] class, corners.
        correct: Per image [n, K] bool, the first column at IoU .5.
        ignored: Per image [n, K] bool, detections that do not count.
    """
    kinds, places, start = [np.zeros(0, int)], [np.zeros(0, int)], 0
    images = zip(detections, labels, correct, ignored, strict=True)
    for found, known, is_true, is_ignored in images:
        kind, place = judge_image(found, known, is_true[:, 0], is_ignored[:, 0])
        kinds.append(kind)
        places.append(np.where(place < 0, -1, place + start))
        start += len(known)
    rows = np.concatenate([np.zeros((0, 6), np.float32), *detections])
    labelled = np.concatenate([np.zeros(0), *(known[:, 0] for known in labels)])
    all_kinds = np.concatenate(kinds)
    # Sorted once, since sorting takes most of the time of each of the mAPs that follow.
    order = np.argsort(-rows[:, 4], kind="stable")
    order = order[all_kinds[order] != IGNORED]
    largest = max(labelled.max(initial=0), rows[:, 5].max(initial=0))
    # NumPy sorts numbers of 16 bits many times faster than others.
    whole = np.int16 if largest < 2**15 else int
    classes, labelled = rows[order, 5].astype(whole), labelled.astype(whole)
    scores, places_of = rows[order, 4], np.concatenate(places)[order]
    return Judged(scores, classes, all_kinds[order], places_of, labelled, np.unique(labelled))


def map50(judged: Judged, protocol: str) -> float:
    """mAP50 of these detections and labels, in 0..1.

    Of the classes that had labels, one that is left without detections and labels does not count.
    """
    correct = judged.of(TRUE)[:, None]
    curves = ap_per_class(correct, judged.scores, judged.classes, judged.labelled, protocol)
    left = np.union1d(judged.labelled, judged.classes)
    return float(curves.ap.sum()) / max(int(np.isin(judged.known, left).sum()), 1)


def without(judged: Judged, kind: int) -> Judged:
    """The same detections and labels as if an error of this kind did not occur."""
    if kind == MISSED:
        kept = ~judged.missed
        # Labels are no longer numbered as before, which nothing that follows reads.
        return replace(judged, labelled=judged.labelled[kept])
    rows = judged.of(kind)
    if kind not in (CLASSIFICATION, LOCALISATION):
        return judged.chosen(~rows)
    right = rows & correctable(judged)
    classes = judged.classes.copy()
    classes[right] = judged.labelled[judged.labels[right]]
    repaired = replace(judged, classes=classes, kinds=np.where(right, TRUE, judged.kinds))
    return repaired.chosen(~rows | right)


def correctable(judged: Judged) -> np.ndarray:
    """[n] bool: the most confident wrong class or place on each label that nothing has found."""
    is_free = np.ones(len(judged.labelled), bool)
    is_free[judged.labels[judged.of(TRUE)]] = False
    rows = np.flatnonzero(judged.of(CLASSIFICATION) | judged.of(LOCALISATION))
    rows = rows[is_free[judged.labels[rows]]]
    first = np.unique(judged.labels[rows], return_index=True)[1]  # they stand by descending score
    chosen = np.zeros(len(judged.kinds), bool)
    chosen[rows[first]] = True
    return chosen


def error_costs(judged: Judged, protocol: str = "yolov5") -> Iterator[tuple[str, int, float]]:
    """Each kind of KINDS, how often it occurs, and what it costs in mAP50 (0..1)."""
    reached = map50(judged, protocol)
    for kind, name in enumerate(KINDS):
        count = int(judged.missed.sum() if kind == MISSED else judged.of(kind).sum())
        cost = map50(without(judged, kind), protocol) - reached if count else 0.0
        yield name, count, cost


def error_line(errors: Mapping[str, tuple[int, float]]) -> str:
    """What each kind costs in mAP50, in one line; errors has how often it occurs and the cost."""
    cells = ", ".join(f"{name} {cost:.3f}" for name, (_, cost) in errors.items())
    return f"mAP50 that each kind of error costs by itself (TIDE): {cells}"
