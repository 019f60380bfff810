"""Objects that annotations mark: VOC's difficult ones and COCO's crowds.

Both protocols leave them out of the score: a detection on one counts neither as true nor as false.
Neither is learnt. In a dataset YAML `difficult: object` makes difficult objects ordinary ones, and
`difficult: drop` or `crowd: drop` leaves marked objects out altogether, so that detections on them
count as false; YOLOv5's script for VOC leaves out difficult ones in this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.formats.labels import LabelledObject
from data.report import DROPPED, Entry
from utils.errors import UserError
from utils.text import shown

IGNORE, AS_OBJECT, DROP = "ignore", "object", "drop"
# A crowd is a region with many objects, which no detector can learn as one.
MARKS = {"difficult": (IGNORE, AS_OBJECT, DROP), "crowd": (IGNORE, DROP)}


def read_choice(file: Path, mark: str, value: object) -> str:
    """What a dataset YAML says about a mark. Raises UserError for an unknown word."""
    if value is None:
        return IGNORE
    if not (isinstance(value, str) and value in MARKS[mark]):
        raise UserError(
            f"{file}: {mark}: {shown(value, 60)} is unknown; use {' or '.join(MARKS[mark])}"
        )
    return value


def apply_choice(
    objects: Sequence[LabelledObject], choice: str, path: str
) -> tuple[list[LabelledObject], list[Entry]]:
    """Take the mark away from objects, or the marked objects themselves, as the YAML says.

    Args:
        objects: The objects of an image.
        choice: IGNORE, AS_OBJECT or DROP.
        path: The label file, for entries.

    Returns:
        The objects that are left, and an entry for each that was dropped.
    """
    if choice == IGNORE:
        return list(objects), []
    if choice == AS_OBJECT:
        return [replace(item, mark="") for item in objects], []
    entries = [
        Entry(path, item.row, DROPPED, f"{item.mark}, left out as the YAML says")
        for item in objects
        if item.mark
    ]
    return [item for item in objects if not item.mark], entries
