"""AP, matching and the confusion matrix: the numbers of YOLOv5 and YOLOv8, and empty inputs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.evaluation.confusion import ConfusionMatrix
from engine.evaluation.matching import match_in_turn, match_predictions
from engine.evaluation.metrics import Evaluation
from tests.engine.evaluation.test_average_precision import figures_of
from utils.structures import Metrics

GOLDEN = np.load(Path(__file__).parents[2] / "golden/yolov5/ap.npz")
NAMES = {0: "red", 1: "green", 2: "blue"}
IMAGES = [
    (torch.tensor(GOLDEN[f"pb{k}_det"]), torch.tensor(GOLDEN[f"pb{k}_lab"])) for k in range(4)
]
NO_DETECTIONS, NO_LABELS = torch.zeros(0, 6), torch.zeros(0, 5)


def label(number: int, *corners: float) -> torch.Tensor:
    return torch.tensor([[number, *corners]], dtype=torch.float32)


def detection(number: int, score: float, *corners: float) -> torch.Tensor:
    return torch.tensor([[*corners, score, number]], dtype=torch.float32)


def evaluate(*examples: tuple[torch.Tensor, torch.Tensor]) -> Metrics:
    evaluation = Evaluation(3)
    for detections, labels in examples:
        evaluation.add(detections, labels)
    return evaluation.result(NAMES)


YOLOV8 = Path(__file__).parents[2] / "golden/yolov8"
FREE = np.load(YOLOV8 / "metrics.npz")
FREE_FIGURES = json.loads((YOLOV8 / "metrics.json").read_text())


def golden_image(number: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Detections [n, 6] by descending score, labels [m, 5], and YOLOv8's correct detections."""
    columns = {
        name: FREE[f"img{number}/{name}"]
        for name in ("pred_boxes", "conf", "pred_cls", "gt_boxes", "gt_cls")
    }
    order = np.argsort(-columns["conf"], kind="stable")
    found = np.column_stack((columns["pred_boxes"], columns["conf"], columns["pred_cls"]))[order]
    labels = np.column_stack((columns["gt_cls"], columns["gt_boxes"]))
    return torch.tensor(found).float(), torch.tensor(labels).float(), FREE[f"img{number}/tp"][order]


@pytest.mark.parametrize("number", range(8))
def test_matching_in_turn_equals_yolov8(number: int) -> None:
    detections, labels, wanted = golden_image(number)
    assert np.array_equal(match_predictions(detections, labels, protocol="yolov8"), wanted)


def test_the_second_detection_takes_the_next_best_label_by_yolov8() -> None:
    """By YOLOv5's rule it takes none. The golden files have no such case."""
    labels = torch.cat((label(0, 0, 0, 10, 10), label(0, 0, 0, 10, 14)))
    loose, exact = detection(0, 0.9, 0, 0, 10, 11), detection(0, 0.8, 0, 0, 10, 10)
    correct = match_predictions(torch.cat((loose, exact)), labels, protocol="yolov8")
    assert correct[0].tolist() == [True] * 9 + [False]
    assert correct[1].tolist() == [True] * 5 + [False] * 4 + [
        True
    ]  # 10/14 with the second label; then the first
    assert not match_predictions(exact, label(1, 0, 0, 10, 10), protocol="yolov8").any()


def test_matching_in_turn_equals_a_plain_calculation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        overlap, bounds = rng.random((12, 5)).round(1), np.array([0.3, 0.5, 0.8])
        wanted = np.zeros((12, 3), dtype=bool)
        for column, bound in enumerate(bounds):
            free = list(range(5))
            for row in range(12):
                best = max(free, key=lambda k: overlap[row, k], default=None)
                if best is not None and overlap[row, best] >= bound:
                    wanted[row, column] = True
                    free.remove(best)
        assert np.array_equal(match_in_turn(overlap, bounds), wanted)


def test_yolov8s_protocol_gives_its_figures() -> None:
    evaluation = Evaluation(5, "yolov8")
    for number in range(8):
        evaluation.add(*golden_image(number)[:2])
    metrics = evaluation.result({})
    curves = metrics.details.curves
    for name, value in figures_of(curves).items():
        np.testing.assert_allclose(value, FREE[f"ap/{name}"], atol=1e-9, rtol=0, err_msg=name)
    assert [metrics.precision, metrics.recall, metrics.map50, metrics.map] == pytest.approx(
        FREE_FIGURES["mean_results"], abs=1e-9
    )
    assert metrics.fitness == metrics.map == pytest.approx(FREE_FIGURES["fitness"], abs=1e-9)
    assert np.array_equal(evaluation.confusion.matrix, FREE["confusion_conf025_iou045"])


def test_fitness_equals_golden() -> None:
    for columns, wanted in zip(GOLDEN["fitness_in"].tolist(), GOLDEN["fitness_out"], strict=True):
        precision, recall, map50, mean = columns[:4]
        assert Metrics(1, 1, precision, recall, map50, mean).fitness == pytest.approx(
            wanted, abs=1e-9
        )


@pytest.mark.parametrize("number", range(4))
def test_matching_equals_golden(number: int) -> None:
    assert np.array_equal(match_predictions(*IMAGES[number]), GOLDEN[f"pb{number}_correct"])


def test_the_first_detection_wins_and_no_other_label_is_tried() -> None:
    labels = torch.cat((label(0, 0, 0, 10, 10), label(0, 0, 0, 10, 14)))
    loose, exact = detection(0, 0.9, 0, 0, 10, 11), detection(0, 0.8, 0, 0, 10, 10)
    correct = match_predictions(torch.cat((loose, exact)), labels)
    assert correct[0].tolist() == [True] * 9 + [False]  # its IoU with the first label is 10/11
    assert correct[1].tolist() == [False] * 9 + [
        True
    ]  # the second label stays free, and it does not take it


def test_an_overlap_equal_to_the_threshold_counts() -> None:
    correct = match_predictions(detection(0, 0.9, 0, 0, 10, 5), label(0, 0, 0, 10, 10))
    assert correct[0].tolist() == [True] + [False] * 9


def test_matching_of_nothing_and_of_another_class() -> None:
    right = detection(0, 0.9, 0, 0, 10, 10)
    assert not match_predictions(right, NO_LABELS).any()
    assert match_predictions(NO_DETECTIONS, label(0, 0, 0, 9, 9)).shape == (0, 10)
    assert not match_predictions(right, label(1, 0, 0, 10, 10)).any()


def test_confusion_equals_golden() -> None:
    confusion = ConfusionMatrix(3)
    for image in IMAGES:
        confusion.add(*image)
    confusion.add(NO_DETECTIONS, torch.cat((label(0, 1, 1, 5, 5), label(2, 1, 1, 5, 5))))
    assert np.array_equal(confusion.matrix, GOLDEN["confusion"])
    sums = confusion.normalised().sum(0)
    assert sums[confusion.matrix.sum(0) > 0] == pytest.approx(1)


def test_confusion_pairs_by_overlap_whatever_the_class() -> None:
    confusion = ConfusionMatrix(3)
    close, exact = detection(1, 0.9, 0, 0, 10, 9), detection(2, 0.3, 0, 0, 10, 10)
    confusion.add(
        torch.cat((close, exact, detection(0, 0.2, 50, 50, 60, 60))), label(0, 0, 0, 10, 10)
    )
    wanted = np.zeros((4, 4))
    wanted[2, 0] = 1  # the better overlap, though less certain
    wanted[1, 3] = 1  # the other one; the third is below the confidence
    assert np.array_equal(confusion.matrix, wanted)


def test_false_alarms_need_a_pair_in_their_image_to_be_counted() -> None:
    confusion = ConfusionMatrix(3)
    confusion.add(detection(1, 0.9, 50, 50, 60, 60), label(0, 0, 0, 10, 10))
    confusion.add(detection(1, 0.9, 50, 50, 60, 60), NO_LABELS)
    assert confusion.matrix.sum() == confusion.matrix[3, 0] == 1


def test_a_perfect_detector() -> None:
    boxes = [(5, 5, 50, 50), (60, 60, 90, 80), (10, 60, 40, 95)]
    examples = [(detection(k % 2, 0.9, *box), label(k % 2, *box)) for k, box in enumerate(boxes)]
    metrics = evaluate(*examples)
    assert (metrics.images, metrics.instances) == (3, 3)
    assert metrics.precision == pytest.approx(1)
    assert metrics.recall == pytest.approx(1)
    assert metrics.map50 == pytest.approx(0.995)  # the last step of 101 points is a ramp down to 0
    assert metrics.map == pytest.approx(0.995)
    assert [(row.name, row.images, row.instances) for row in metrics.classes] == [
        ("red", 2, 2),
        ("green", 1, 1),
    ]
    assert math.isnan(metrics.ap_small)


def test_false_alarms_on_images_without_labels_count() -> None:
    hit = (detection(0, 0.5, 5, 5, 50, 50), label(0, 5, 5, 50, 50))
    clean = evaluate(hit, (NO_DETECTIONS, NO_LABELS))
    alarmed = evaluate(hit, (detection(0, 0.9, 5, 5, 50, 50), NO_LABELS))
    assert clean.images == alarmed.images == 2
    assert clean.map50 == pytest.approx(0.995)
    assert alarmed.map50 < 0.6


def test_means_run_over_labelled_classes_only() -> None:
    metrics = evaluate(
        (
            torch.cat((detection(0, 0.9, 5, 5, 50, 50), detection(2, 0.9, 5, 5, 50, 50))),
            torch.cat((label(0, 5, 5, 50, 50), label(1, 60, 60, 90, 90))),
        )
    )
    assert [row.class_id for row in metrics.classes] == [0, 1]
    assert metrics.classes[1].ap == 0
    assert metrics.map50 == pytest.approx(0.995 / 2)


@pytest.mark.parametrize(
    ("examples", "instances"),
    [
        ([], 0),
        ([(NO_DETECTIONS, NO_LABELS)], 0),
        ([(detection(0, 0.9, 1, 1, 9, 9), NO_LABELS)], 0),
        ([(NO_DETECTIONS, label(1, 1, 1, 9, 9))], 1),
    ],
    ids=["no images", "nothing at all", "no labels", "no detections"],
)
def test_nothing_to_score_is_zero(examples: list, instances: int) -> None:
    metrics = evaluate(*examples)
    assert metrics.images == len(examples)
    assert metrics.instances == instances == len(metrics.classes)
    assert (metrics.precision, metrics.recall, metrics.map50, metrics.map, metrics.fitness) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert metrics.details.curves.f1_curve.shape == (instances, 1000)


def test_one_area_of_coco_enters_the_metrics() -> None:
    evaluation = Evaluation(3)
    evaluation.add(detection(0, 0.9, 0, 0, 20, 20), label(0, 0, 0, 20, 20))
    metrics = evaluation.result(NAMES, coco=True)
    assert metrics.ap_small == pytest.approx(1)
    assert math.isnan(metrics.ap_large)
    assert metrics.coco["AP"] == pytest.approx(1)
