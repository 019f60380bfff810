"""COCO's protocol: AP at IoU .5:.95, for small, medium and large boxes, and AR, computed by
faster-coco-eval.

Takes the arrays that utils/metrics.Evaluation collected, or the JSON files of `val.py --save-json`.
It differs from YOLOv5's AP: a detection may fall back to the best label still free, precision is
read in steps, and 100 detections of a image count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.boxes import box_area
from utils.errors import UserError

FIGURES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
RESULT_KEYS = ("image_id", "category_id", "bbox", "score")


def evaluate_coco(
    detections: Sequence[np.ndarray], labels: Sequence[np.ndarray], class_count: int
) -> dict[str, float]:
    """Score images by COCO's protocol.

    detections: per image [n, 6] corners, score, class. labels: per image [m, 5] class, corners
    in the same pixels. A box's area, in those pixels, decides whether it is small (below 32²),
    medium or large (above 96²). Returns FIGURES -> value in 0..1, NaN where there is no such label.
    Raises UserError when faster-coco-eval is not installed.
    """
    annotations = [row for number, rows in enumerate(labels) for row in _annotations(number, rows)]
    for number, annotation in enumerate(annotations, start=1):  # 0 would mean "unmatched"
        annotation["id"] = number
    truth = {
        "info": {},
        "images": [{"id": number} for number in range(len(labels))],
        "categories": [{"id": number, "name": str(number)} for number in range(class_count)],
        "annotations": annotations,
    }
    results = [row for number, rows in enumerate(detections) for row in _results(number, rows)]
    return _score(truth, results)


def score_json(predictions: str | Path, annotations: str | Path) -> dict[str, float]:
    """Score a COCO results file against a COCO annotation file; returns as evaluate_coco does.

    Only images and categories of the annotation file count. Raises UserError naming the file that
    is unfit.
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
    strangers = sorted({row["image_id"] for row in results} - known, key=str)
    if strangers:
        raise UserError(
            f"{predictions}: image_id {strangers[0]!r} is not in {annotations}; score against the"
            " same images"
        )
    return _score({"info": {}, **truth}, results)


def _is_result(row: object) -> bool:
    return isinstance(row, dict) and row.keys() >= {*RESULT_KEYS}


def _annotations(image: int, rows: np.ndarray) -> list[dict[str, Any]]:
    """Labels [m, 5] of a image as COCO writes them."""
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


def _results(image: int, rows: np.ndarray) -> list[dict[str, Any]]:
    """Detections [n, 6] of a image as COCO writes them."""
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


def _score(truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float]:
    """Run faster-coco-eval, silently, on contents as its files have them."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise UserError(
            "COCO's protocol needs faster-coco-eval: pip install faster-coco-eval"
        ) from None

    def keep_silent(*_: object) -> None:
        return None

    expected = COCO(truth, print_function=keep_silent)
    found = (
        expected.loadRes(results)
        if results
        else COCO({**truth, "annotations": []}, print_function=keep_silent)
    )
    run = COCOeval_faster(expected, found, "bbox", print_function=keep_silent)
    run.run()
    return {
        name: float(value) if value >= 0 else float("nan")
        for name, value in zip(FIGURES, run.stats, strict=False)
    }


def _read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise UserError(
            f"{path}: not valid JSON ({error}); write it again with val.py --save-json"
        ) from None
