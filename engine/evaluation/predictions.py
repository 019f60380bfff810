"""Detections as files: a text file per image, and one JSON file in COCO's result format.

evaluate.py passes boxes in pixels of the original images, which become labels/*.txt and
*_predictions.json in the run's folder.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from utils.boxes import normalise_boxes
from utils.files import atomic_write

# COCO numbers its 80 categories from 1 to 90; these numbers have no images.
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_CATEGORIES = tuple(number for number in range(1, 91) if number not in COCO_GAPS)


class CocoResult(TypedDict):
    """A detection in COCO's result format; bbox is left, top, width, height in pixels."""

    image_id: int | str
    category_id: int | str
    bbox: list[float]
    score: float


def file_stems(paths: Iterable[str]) -> list[str]:
    """Give each image a unique stem for its results.

    A stem that occurred before is prefixed with the name of its folder, and numbered if that
    occurred too.
    """
    taken: set[str] = set()
    stems = []
    for path in map(Path, paths):
        stem, number = path.stem, 1
        while stem in taken:
            number += 1
            stem = f"{path.parent.name}_{path.stem}" + (f"_{number - 1}" if number > 2 else "")
        taken.add(stem)
        stems.append(stem)
    return stems


def prediction_lines(rows: np.ndarray, size: tuple[int, int], with_score: bool) -> list[str]:
    """Format detections as `class x y width height [confidence]`, shares of the image.

    Args:
        rows: [n, 6] corners in pixels, confidence, class.
        size: (height, width) of the image in pixels.
        with_score: Whether to include the confidence.
    """
    shares = normalise_boxes(np.asarray(rows, dtype=np.float64)[:, :4], size)
    return [
        " ".join(f"{value:g}" for value in (int(row[5]), *box, *((row[4],) if with_score else ())))
        for row, box in zip(rows, shares, strict=True)
    ]


def save_labels(path: Path, rows: np.ndarray, size: tuple[int, int], with_score: bool) -> None:
    """Write the prediction_lines() of an image into a file; without detections, write none.

    Args:
        path: The file to write.
        rows: [n, 6] corners in pixels, confidence, class.
        size: (height, width) of the image in pixels.
        with_score: Whether to include the confidence.
    """
    # YOLO marks an image without objects by having no file.
    if not len(rows):
        with contextlib.suppress(OSError):  # no file can have a name that is too long
            path.unlink(missing_ok=True)  # an earlier run into the same folder may have left one
        return
    with atomic_write(path, "w") as file:
        file.writelines(line + "\n" for line in prediction_lines(rows, size, with_score))


def image_id(stem: str) -> int | str:
    """An image's number in COCO's files: its name as a number if it is one, else the name."""
    # isdecimal() alone also accepts digits of other scripts.
    return int(stem) if stem.isdecimal() and stem.isascii() else stem


def image_ids(stems: Sequence[str]) -> list[int | str]:
    """The image_id() of each stem; the stems themselves if two of them are one number."""
    numbers = [image_id(stem) for stem in stems]
    return numbers if len(set(numbers)) == len(numbers) else list(stems)


def coco_records(
    rows: np.ndarray, image: int | str, categories: Sequence[int | str | None] | None = None
) -> list[CocoResult]:
    """Convert the detections of an image to COCO's result format.

    Args:
        rows: [n, 6] corners in pixels, confidence, class.
        image: The image's id.
        categories: Class number -> category id; None keeps the class numbers. Detections of a class
            whose category is None are left out.
    """
    known = [(row, int(row[5]) if categories is None else categories[int(row[5])]) for row in rows]
    return [
        {
            "image_id": image,
            "category_id": category,
            "bbox": [
                round(float(value), 3)
                for value in (row[0], row[1], row[2] - row[0], row[3] - row[1])
            ],
            "score": round(float(row[4]), 5),
        }
        for row, category in known
        if category is not None
    ]


def save_json(path: Path, records: list[CocoResult]) -> None:
    """Write the detections of all images into one file."""
    with atomic_write(path, "w") as file:
        json.dump(records, file, ensure_ascii=False)
