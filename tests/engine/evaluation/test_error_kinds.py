"""Each kind of error is found, and costs what mAP50 gains without it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation.error_kinds import KINDS, error_costs, judge, map50
from engine.evaluation.metrics import Evaluation


def square(x: float, score: float, kind: int) -> list[float]:
    """A detection of 10 x 10 pixels at x."""
    return [x, 0, x + 10, 10, score, kind]


def label(x: float, kind: int) -> list[float]:
    return [kind, x, 0, x + 10, 10]


def judged(found: list[list[float]], known: list[list[float]]):
    """The detections of one image, matched by the project's own rule."""
    evaluation = Evaluation(3)
    rows = np.array(found, np.float32).reshape(-1, 6)
    evaluation.add(rows, np.array(known, np.float32).reshape(-1, 5))
    parts = (evaluation.detections, evaluation.labels, evaluation.correct, evaluation.ignored)
    return judge(*parts), evaluation.result({0: "a", 1: "b", 2: "c"})


def counts(found: list[list[float]], known: list[list[float]]) -> dict[str, int]:
    return {name: count for name, count, _ in error_costs(judged(found, known)[0]) if count}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([square(0, 0.9, 0)], {}),
        ([square(0, 0.9, 0), square(1, 0.8, 0)], {"duplicate": 1}),
        ([square(1, 0.9, 1)], {"classification": 1}),
        ([square(6, 0.9, 0)], {"localisation": 1}),
        ([square(6, 0.9, 1)], {"both": 1, "missed": 1}),
        ([square(50, 0.9, 0)], {"background": 1, "missed": 1}),
        ([square(9, 0.9, 0)], {"background": 1, "missed": 1}),  # IoU 1/19
        ([], {"missed": 1}),
    ],
)
def test_an_error_is_of_its_kind(found: list[list[float]], expected: dict[str, int]) -> None:
    assert counts(found, [label(0, 0)]) == expected


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        # IoU 0.18 with an object of its class, 0.67 with one of another class.
        ([square(7, 0.9, 0)], [label(0, 0), label(5, 1)], {"localisation": 1, "missed": 1}),
        # On an object of its class that another has found, and on one of another class.
        (
            [square(0, 0.9, 0), square(1, 0.8, 1), square(0, 0.7, 1)],
            [label(0, 0), label(1, 1)],
            {"classification": 1},
        ),
        # On one that another has found, and near a second one of its class.
        (
            [square(0, 0.9, 0), square(2, 0.8, 0)],
            [label(0, 0), label(8, 0)],
            {"duplicate": 1, "missed": 1},
        ),
    ],
)
def test_the_order_of_kinds_is_that_of_tidecv(
    found: list[list[float]], known: list[list[float]], expected: dict[str, int]
) -> None:
    """The expected kinds were given by tidecv 1.0.1."""
    assert counts(found, known) == expected


def test_map50_is_that_of_the_evaluation() -> None:
    draw = np.random.default_rng(0)
    known = [label(x, int(draw.integers(3))) for x in range(0, 200, 20)]
    found = [
        square(draw.uniform(0, 200), score, int(draw.integers(3)))
        for score in np.linspace(0.9, 0.1, 60)
    ]
    one, metrics = judged(found, known)
    assert 0 < metrics.map50 < 1
    assert map50(one, "yolov5") == pytest.approx(metrics.map50)
    costs = {name: cost for name, _, cost in error_costs(one)}
    assert list(costs) == list(KINDS)
    assert all(cost >= 0 for cost in costs.values())
    assert costs["background"] > 0


def test_a_detection_on_an_object_that_is_not_scored_is_no_error() -> None:
    evaluation = Evaluation(1)
    found = np.array([square(50, 0.9, 0), square(0, 0.8, 0)], np.float32)
    difficult = np.array([[*label(50, 0), 0]], np.float32)
    evaluation.add(found, np.array([label(0, 0)], np.float32), unscored=difficult)
    metrics = evaluation.result({0: "a"}, errors=True)
    assert metrics.map50 > 0.99
    assert metrics.details.errors == dict.fromkeys(KINDS, (0, 0.0))
    parts = (evaluation.detections, evaluation.labels, evaluation.correct, evaluation.ignored)
    assert map50(judge(*parts), "yolov5") == pytest.approx(metrics.map50)


def test_costs_are_those_of_data_without_the_error() -> None:
    """One class: a false detection at 0.9, then the true one. Precision is 1/2 up to recall 1/2."""
    known, found = [label(0, 0), label(100, 0)], [square(50, 0.9, 0), square(0, 0.8, 0)]
    one, _ = judged(found, known)
    costs = {name: cost for name, _, cost in error_costs(one)}
    # Without the background, precision is 1 up to recall 1/2; without the missed one, 1/2 up to 1.
    clean, _ = judged([square(0, 0.8, 0)], known)
    fewer, _ = judged(found, known[:1])
    reached = map50(one, "yolov5")
    assert costs["background"] == pytest.approx(map50(clean, "yolov5") - reached)
    assert costs["missed"] == pytest.approx(map50(fewer, "yolov5") - reached)
    assert costs["background"] > 0.2
    assert costs["duplicate"] == 0


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        # A wrong place above the true detection is taken away, though it has the higher score.
        (
            [square(6, 0.94, 0), square(100, 0.73, 0), square(0, 0.28, 0)],
            [label(0, 0)],
            {"localisation": 16.67, "background": 16.67},
        ),
        # Of a wrong class at 0.54 and a wrong place at 0.2 on an object, the former is corrected.
        (
            [square(9, 0.54, 1), square(7, 0.2, 0)],
            [label(23, 1), label(12, 0), label(29, 1)],
            {"classification": 50.0, "localisation": 0.0},
        ),
        # Nothing is detected of class 0, so that without its label it is no class any more.
        ([square(18, 0.82, 1)], [label(10, 0), label(18, 1)], {"missed": 50.0}),
        # A detection of class 1 remains, whose label is missed: its AP is 0 with and without it.
        (
            [square(15, 0.38, 0), square(21, 0.17, 1)],
            [label(14, 0), label(12, 1)],
            {"missed": 0.0},
        ),
    ],
)
def test_costs_are_those_of_tidecv(
    found: list[list[float]], known: list[list[float]], expected: dict[str, float]
) -> None:
    """The expected costs were given by tidecv 1.0.1, whose AP is COCO's, a little higher."""
    costs = {name: 100 * cost for name, _, cost in error_costs(judged(found, known)[0])}
    for name, cost in expected.items():
        assert costs[name] == pytest.approx(cost, abs=0.5), name


def test_without_images_nothing_is_wrong() -> None:
    assert [count for _, count, _ in error_costs(judge([], [], [], []))] == [0] * len(KINDS)
