"""Detections of a labelled data set as files: a text file a image, and one JSON in COCO's result
format.

From: val.py, boxes in pixels of the original images. To: labels/*.txt and *_predictions.json in
the run's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.boxes import normalise
from utils.files import atomic_write

COCO_GAPS = (
    12,
    26,
    29,
    30,
    45,
    66,
    68,
    69,
    71,
    83,
)  # category numbers of COCO's list that have no images
COCO_CATEGORIES = tuple(number for number in range(1, 91) if number not in COCO_GAPS)


def file_stems(paths: Iterable[str]) -> list[str]:
    """Stems of images for naming their results; a stem seen before gets its folder's name in
    front, then a number.
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


def label_lines(rows: np.ndarray, size: tuple[int, int], with_score: bool) -> list[str]:
    """Rows [n, 6] xyxy, confidence, class in a image of size (height, width) as `class x y w h
    [confidence]`.
    """
    shares = normalise(np.asarray(rows, dtype=np.float64)[:, :4], size)
    return [
        " ".join(f"{value:g}" for value in (int(row[5]), *box, *((row[4],) if with_score else ())))
        for row, box in zip(rows, shares, strict=True)
    ]


def save_labels(path: Path, rows: np.ndarray, size: tuple[int, int], with_score: bool) -> None:
    """Write label_lines, by descending confidence as the rows come; without detections there is no
    file.
    """
    if not len(rows):
        path.unlink(missing_ok=True)  # of an earlier run into the same folder
        return
    with atomic_write(path, "w") as file:
        file.writelines(line + "\n" for line in label_lines(rows, size, with_score))


def image_id(stem: str) -> int | str:
    """A image's number in COCO's files: its name if that is one, the name itself otherwise."""
    return int(stem) if stem.isdecimal() and stem.isascii() else stem


def coco_records(
    rows: np.ndarray, stem: str, categories: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Rows [n, 6] as COCO results: bbox is left, top, width, height in pixels; categories maps
    class to category.
    """
    return [
        {
            "image_id": image_id(stem),
            "category_id": int(row[5]) if categories is None else categories[int(row[5])],
            "bbox": [
                round(float(value), 3)
                for value in (row[0], row[1], row[2] - row[0], row[3] - row[1])
            ],
            "score": round(float(row[4]), 5),
        }
        for row in rows
    ]


def save_json(path: Path, records: list[dict[str, Any]]) -> None:
    with atomic_write(path, "w") as file:
        json.dump(records, file)
