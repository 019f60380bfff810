"""COCO's protocol: AP at IoU .5:.95, AP of small, medium and large boxes, and AR.

faster-coco-eval computes them, from the arrays that metrics.Evaluation has collected or from the
JSON files of `val.py --save-json`. COCO's AP differs from YOLOv5's in three ways: a detection whose
best label is taken may match the next best one, precision is a step function of recall instead of
being interpolated, and at most 100 detections of an image count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.boxes import box_area
from utils.errors import UserError
from utils.text import shown

FIGURES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
RESULT_KEYS = ("image_id", "category_id", "bbox", "score")
CocoRecord = dict[str, object]  # one entry of a list in COCO's files


def evaluate_coco(
    detections: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    class_count: int,
    unscored: Sequence[np.ndarray] = (),
) -> dict[str, float]:
    """Score images by COCO's protocol.

    A box is small below 32² pixels, large above 96² and medium between.

    Args:
        detections: Per image [n, 6] corners in pixels, score, class.
        labels: Per image [m, 5] class, corners in the same pixels.
        class_count: Number of classes.
        unscored: Per image [k, 6] class, corners, 1 for a crowd: objects that are not scored. This
            protocol knows crowds only, so VOC's difficult objects are taken for crowds.

    Returns:
        FIGURES -> value in 0..1, NaN where no label has that size.

    Raises:
        UserError: The package faster-coco-eval is not installed.
    """
    annotations = [row for number, rows in enumerate(labels) for row in _annotations(number, rows)]
    for number, rows in enumerate(unscored):
        annotations += [{**row, "iscrowd": 1} for row in _annotations(number, rows)]
    for number, annotation in enumerate(annotations, start=1):  # id 0 would mean "unmatched"
        annotation["id"] = number
    truth: CocoRecord = {
        "info": {},
        "images": [{"id": number} for number in range(len(labels))],
        "categories": [{"id": number, "name": str(number)} for number in range(class_count)],
        "annotations": annotations,
    }
    results = [row for number, rows in enumerate(detections) for row in _results(number, rows)]
    return _score(truth, results)


def score_json(predictions: str | Path, annotations: str | Path) -> dict[str, float]:
    """Score a COCO results file against a COCO annotation file, as evaluate_coco() does.

    Only images and categories of the annotation file count. Raises UserError naming the file that
    cannot be used.
    """
    truth, results = _read_json(annotations), _read_json(predictions)
    if not isinstance(truth, dict) or not {"images", "annotations", "categories"} <= truth.keys():
        raise UserError(
            f"{annotations}: is no COCO annotation file (images, annotations, categories); check"
            " the path"
        )
    if not isinstance(results, list) or not all(_is_result(row) for row in results):
        raise UserError(
            f"{predictions}: is no COCO results file (a list of {', '.join(RESULT_KEYS)}); check"
            " the path"
        )
    known = {image["id"] for image in truth["images"]}
    unknown = sorted({row["image_id"] for row in results} - known, key=str)
    if unknown:
        raise UserError(
            f"{predictions}: image_id {shown(unknown[0])} is not in {annotations}; score against"
            " the same images"
        )
    return _score({"info": {}, **truth}, results)


def score_file(predictions: Path, truth: Mapping[str, Any]) -> dict[str, float]:
    """Score a COCO results file that was just written, against the content of annotations.

    Ids may be texts, which COCO's programs do not take; here all are numbered in their own order.

    Args:
        predictions: The file.
        truth: Images, categories, and annotations with all of COCO's keys.
    """
    images, categories = (_numbered(truth[name]) for name in ("images", "categories"))

    def renamed(row: Mapping[str, Any]) -> CocoRecord:
        image, category = images[row["image_id"]], categories[row["category_id"]]
        return {**row, "image_id": image, "category_id": category}

    results = _read_json(predictions)
    assert isinstance(results, list)
    plain = {
        "info": {},
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number, "name": str(number)} for number in categories.values()],
        "annotations": [renamed(row) for row in truth["annotations"]],
    }
    return _score(plain, [renamed(row) for row in results])


def _numbered(entries: Sequence[Mapping[str, Any]]) -> dict[int | str, int]:
    """Id -> its place among the ids, numbers first."""
    keys = sorted((entry["id"] for entry in entries), key=lambda key: (isinstance(key, str), key))
    return {key: number for number, key in enumerate(keys, 1)}


def _is_result(row: object) -> bool:
    return isinstance(row, dict) and row.keys() >= {*RESULT_KEYS}


def _annotations(image: int, rows: np.ndarray) -> list[CocoRecord]:
    """The labels [m, 5] of an image as entries of an annotation file."""
    # In float32, rounding could move an area across the limit between two sizes.
    wide: np.ndarray = rows.astype(np.float64)
    areas = box_area(wide[:, 1:5])
    return [
        {
            "image_id": image,
            "category_id": int(row[0]),
            "bbox": _corner_and_sides(row[1:5]),
            "area": area,
            "iscrowd": 0,
        }
        for row, area in zip(wide, areas.tolist(), strict=True)
    ]


def _results(image: int, rows: np.ndarray) -> list[CocoRecord]:
    """The detections [n, 6] of an image as entries of a results file."""
    wide: np.ndarray = rows.astype(np.float64)
    return [
        {
            "image_id": image,
            "category_id": int(row[5]),
            "bbox": _corner_and_sides(row[:4]),
            "score": float(row[4]),
        }
        for row in wide
    ]


def _corner_and_sides(corners: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = corners.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _score(truth: Mapping[str, object], results: Sequence[CocoRecord]) -> dict[str, float]:
    """Run faster-coco-eval silently on the contents of an annotation and a results file."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise UserError(
            "COCO's protocol needs faster-coco-eval: pip install faster-coco-eval"
        ) from None

    def print_nothing(*_: object) -> None:
        return None

    expected = COCO(truth, print_function=print_nothing)
    # loadRes() rejects an empty list, so no detections become an empty list of annotations.
    found = (
        expected.loadRes(results)
        if results
        else COCO({**truth, "annotations": []}, print_function=print_nothing)
    )
    run = COCOeval_faster(expected, found, "bbox", print_function=print_nothing)
    run.run()
    # COCO's -1 stands for a figure without labels.
    return {
        name: float(value) if value >= 0 else float("nan")
        for name, value in zip(FIGURES, run.stats, strict=False)
    }


def _read_json(path: str | Path) -> object:
    try:
        content: object = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise UserError(
            f"{path}: not valid JSON ({error}); write it again with val.py --save-json"
        ) from None
    return content
