"""AP and the curves: the numbers of YOLOv5 and YOLOv8, and those of the plain calculation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.average_precision import (
    TINY,
    ap_per_class,
    compute_ap,
    moving_mean,
    precision_recall,
)
from utils.structures import ClassCurves

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = np.load(FOLDER / "yolov5/ap.npz")
FREE_FIGURES = json.loads((FOLDER / "yolov8/metrics.json").read_text())


def figures_of(curves: ClassCurves) -> dict[str, np.ndarray]:
    """The figures of ap_per_class as the golden files name them."""
    true_positives = (curves.recall * curves.instances).round()
    return {
        "tp": true_positives,
        "fp": (true_positives / (curves.precision + 1e-16) - true_positives).round(),
        "p": curves.precision,
        "r": curves.recall,
        "f1": curves.f1,
        "ap": curves.ap,
        "classes": curves.classes,
    }


def test_class_figures_equal_golden() -> None:
    curves = ap_per_class(GOLDEN["tp"], GOLDEN["conf"], GOLDEN["pred_cls"], GOLDEN["target_cls"])
    for name, value in figures_of(curves).items():
        np.testing.assert_allclose(value, GOLDEN[f"o_{name}"], atol=1e-9, rtol=0, err_msg=name)


def test_the_order_of_detections_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(GOLDEN["conf"]))
    columns = [GOLDEN[name][order] for name in ("tp", "conf", "pred_cls")]
    np.testing.assert_allclose(
        ap_per_class(*columns, GOLDEN["target_cls"]).ap, GOLDEN["o_ap"], atol=1e-9, rtol=0
    )


def test_average_precision_and_smoothing_equal_golden() -> None:
    assert compute_ap(GOLDEN["cap_recall"], GOLDEN["cap_precision"]) == pytest.approx(
        float(GOLDEN["cap_ap"]), abs=1e-9
    )
    np.testing.assert_allclose(
        moving_mean(GOLDEN["smooth_in"], 0.1), GOLDEN["smooth_out"], atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("case", FREE_FIGURES["compute_ap"], ids=lambda case: f"{case['ap']:.3f}")
def test_the_curve_that_drops_equals_yolov8(case: dict) -> None:
    recall, precision = np.array(case["recall"]), np.array(case["precision"])
    assert compute_ap(recall, precision, "yolov8") == pytest.approx(case["ap"], abs=1e-9)


def test_the_curve_that_slopes_gives_more() -> None:
    assert compute_ap(np.array([0.1, 0.2, 0.3]), np.array([1, 1, 0.75])) == pytest.approx(
        0.55, abs=5e-4
    )


@pytest.mark.parametrize("protocol", ["yolov5", "yolov8"])
@pytest.mark.parametrize("seed", range(12))
def test_the_rows_that_bend_the_line_give_the_ap_of_all_rows(seed: int, protocol: str) -> None:
    rng = np.random.default_rng(seed)
    count, labels = int(rng.integers(1, 200)), int(rng.integers(1, 60))
    correct = rng.random(count) < (0, 0.1, 0.6, 1)[seed % 4]
    correct &= correct.cumsum() <= labels
    hits = correct.cumsum()
    whole = compute_ap(hits / (labels + TINY), hits / np.arange(1, count + 1), protocol)
    line = precision_recall(np.flatnonzero(correct), count, labels)
    assert compute_ap(*line, protocol) == whole
    assert len(line[0]) <= 2 * correct.sum() + 1


def test_without_detections_there_is_no_line() -> None:
    recall, precision = precision_recall(np.zeros(0, int), 0, 3)
    assert len(recall) == len(precision) == 0
    curves = ap_per_class(np.zeros((0, 10), bool), np.zeros(0), np.zeros(0), np.ones(2))
    assert curves.ap.tolist() == [[0.0] * 10]
