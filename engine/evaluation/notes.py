"""Sentences on what changes the meaning of an evaluation's figures; Metrics.notes holds them.

What is ordinary is not said: the report of the scan lists every file and row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from data.formats.yolo_labels import CLASS_ROUNDED, NO_AREA
from data.formats.yolo_rows import BOX_AMONG_POLYGONS
from data.index import DatasetIndex
from data.report import DROPPED, LEFT_OUT, SIZES_DIFFER, ScanReport
from engine.evaluation.settings import CONF_OF_MAP
from utils.text import counted, printable

CONF_OF_FALSE = 0.25  # detect.py's threshold, at which false detections are counted
USUAL_MAX_DET = 300  # detections of an image, the limit of both originals
SHOWN_CLASSES, SHOWN_FILES = 5, 3


def data_notes(index: DatasetIndex, split: str) -> list[str]:
    """Sentences on images and rows that were left out or read otherwise than they may be meant.

    split is the name of the split in the sentences, such as "val".
    """
    report, notes = (
        index.report,
        [*_lost_notes(index.report, split), *_repeated_images(index, split)],
    )
    for kind, count in report.ignored.items():
        words = counted(count, f"{kind} object")
        learnt = "left out of the training"
        scored = "not scored; detections there count neither as true nor as false"
        notes.append(f"{split}: {words} {learnt if split == 'train' else scored}")
    kinds = Counter(entry.kind for entry in report.entries)
    if kinds[BOX_AMONG_POLYGONS]:
        notes.append(
            f"{split}: {counted(kinds[BOX_AMONG_POLYGONS], 'label row')} of 5 values in files with"
            " polygons, read as polygons of two points, as YOLOv5 reads them"
        )
    if kinds[SIZES_DIFFER]:
        notes.append(
            f"{split}: {counted(kinds[SIZES_DIFFER], 'image')} of another size than the"
            " annotations state, so boxes may be displaced"
        )
    if kinds[CLASS_ROUNDED]:
        notes.append(
            f"{split}: {counted(kinds[CLASS_ROUNDED], 'label row')} with a class that is no whole"
            " number, which was rounded down"
        )
    if kinds[NO_AREA]:
        notes.append(
            f"{split}: {counted(kinds[NO_AREA], 'object')} with a box without area, which no"
            " detection can match"
        )
    if not report.found:
        notes.append(f"{split}: no label file was found, so all images count as background")
    elif split == "train" and not len(index.classes):
        notes.append("train: no label file holds an object, so only background can be learnt")
    return notes


def _lost_notes(report: ScanReport, split: str) -> list[str]:
    """Sentences that count, and name the first of, the images and the rows that are not used."""
    notes = []
    left = [entry for entry in report.entries if entry.action == LEFT_OUT]
    # Images of a format that is not read are left out before they are counted.
    count = max(len(left), report.corrupt)
    if count:
        total = report.total + count - report.corrupt
        named = "; ".join(
            f"{printable(entry.file)}: {printable(entry.reason, 120)}"
            for entry in left[:SHOWN_FILES]
        )
        more = f"; and {count - SHOWN_FILES:,} more" if count > SHOWN_FILES else ""
        notes.append(f"{split}: {count:,} of {counted(total, 'image')} left out ({named}{more})")
    if report.rows_dropped:
        dropped = Counter(entry.kind for entry in report.entries if entry.action == DROPPED)
        kinds = ", ".join(
            f"{number:,} {printable(kind)}" for kind, number in dropped.most_common(SHOWN_FILES)
        )
        more = ", …" if len(dropped) > SHOWN_FILES else ""
        notes.append(
            f"{split}: {counted(report.rows_dropped, 'label row')} dropped ({kinds}{more})"
        )
    return notes


def _repeated_images(index: DatasetIndex, split: str) -> list[str]:
    """A sentence on images that a split holds more than once."""
    paths = Counter(index.path(number) for number in range(len(index)))
    if len(paths) == len(index):
        return []
    first = next(path for path, count in paths.items() if count > 1)
    repeated = sum(count > 1 for count in paths.values())
    return [
        f"{split}: {counted(repeated, 'image')} listed more than once and counted each time, such"
        f" as {printable(first)}"
    ]


def training_notes(train: DatasetIndex, val: DatasetIndex) -> list[str]:
    """The sentences on the training split, and one if it holds images of the validation split."""
    notes = data_notes(train, "train")
    known = {train.path(number) for number in range(len(train))}
    shared = sum(val.path(number) in known for number in range(len(val)))
    if shared:
        notes.append(
            f"{shared:,} of {counted(len(val), 'validation image')} also among the training"
            " images, so the scores are higher than on new images"
        )
    return notes


def settings_notes(conf: float, single_cls: bool, save_hybrid: bool = False) -> list[str]:
    """Sentences on flags that change the meaning of mAP."""
    notes = []
    if conf > CONF_OF_MAP:
        notes.append(
            f"the confidence threshold {conf:g} is above {CONF_OF_MAP}: mAP is too low to be"
            " compared"
        )
    if single_cls:
        notes.append("all classes were scored as one (--single-cls)")
    if save_hybrid:
        notes.append("the labels were scored among the detections (--save-hybrid): mAP is too high")
    return notes


def result_notes(
    detections: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    names: dict[int, str],
    max_det: int,
) -> list[str]:
    """Sentences on what was found.

    Args:
        detections: Per image [n, 6] corners, score, class.
        labels: Per image [m, 5] class, corners.
        names: Class number -> name.
        max_det: The most detections of an image that suppression keeps.
    """
    notes = []
    full = sum(len(rows) >= max_det for rows in detections)
    # Untrained classes fill up the usual limit with low scores, which changes no figure.
    if full and (max_det < USUAL_MAX_DET or any(len(rows) > max_det for rows in labels)):
        notes.append(
            f"{full:,} of {counted(len(detections), 'image')} reached the limit of"
            f" {counted(max_det, 'detection')}, and further ones were cut off"
        )
    there = set(np.concatenate([*[rows[:, 0] for rows in labels], []]).astype(int).tolist())
    lacking = [name for number, name in names.items() if number not in there]
    if there and lacking:
        listed = ", ".join(printable(name, 40) for name in lacking[:SHOWN_CLASSES])
        more = ", …" if len(lacking) > SHOWN_CLASSES else ""
        notes.append(
            f"{len(lacking):,} of {counted(len(names), 'class', 'classes')} without a labelled"
            f" object, not part of the means: {listed}{more}"
        )
    if not there and detections:
        counts = [int((rows[:, 4] > CONF_OF_FALSE).sum()) for rows in detections]
        notes.append(
            "no object is labelled, so mAP is 0 by definition:"
            f" {counted(sum(counts), 'false detection')} above confidence {CONF_OF_FALSE}, on"
            f" {sum(map(bool, counts)):,} of {counted(len(counts), 'image')}"
        )
    return notes


def id_notes(file: str, images: Sequence[int | str], lacking: Sequence[str]) -> list[str]:
    """Sentences on the ids in a COCO results file.

    Args:
        file: Its name.
        images: The ids of the images.
        lacking: Names of the classes that are no category of the data set's own JSON file.
    """
    notes = []
    if any(isinstance(key, str) for key in images):
        notes.append(f"{file}: image_id is a text; pycocotools takes numbers only")
    if lacking:
        listed = ", ".join(printable(name, 40) for name in lacking[:SHOWN_CLASSES])
        notes.append(
            f"{file}: holds no detections of classes that are no category of the data set's JSON"
            f" file: {listed}"
        )
    return notes


def size_notes(asked: int, used: int) -> list[str]:
    """What a reader must know of --imgsz if the images have another size; both are in pixels."""
    if asked == used:
        return []
    return [f"--imgsz {asked} is not a size that the model takes, so images have {used} pixels"]
