"""VOC's difficult objects and COCO's crowds: a detection on one is neither true nor false."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.evaluation.coco import evaluate_coco
from engine.evaluation.matching import IOU_THRESHOLDS
from engine.evaluation.metrics import Evaluation
from engine.evaluation.unscored import find_unscored
from tests.engine.evaluation.test_coco import as_files, random_image, reference
from utils.structures import Metrics

LABEL = torch.tensor([[0.0, 0, 0, 40, 40]])
DIFFICULT = torch.tensor([[0.0, 100, 100, 140, 140, 0]])
CROWD = torch.tensor([[0.0, 200, 200, 400, 400, 1]])
ON_LABEL = [0.0, 0, 40, 40, 0.9, 0]
ON_DIFFICULT = [100.0, 100, 140, 140, 0.95, 0]
IN_CROWD = [[220.0, 220, 240, 240, 0.97, 0], [300.0, 300, 330, 330, 0.96, 0]]
STRAY = [500.0, 500, 540, 540, 0.99, 0]


def figures_of(metrics: Metrics) -> tuple[float, ...]:
    return (
        *(metrics.images, metrics.instances, metrics.precision, metrics.recall),
        *(metrics.map50, metrics.map),
    )


def score(rows: list[list[float]], unscored: torch.Tensor, protocol: str = "yolov5") -> Evaluation:
    evaluation = Evaluation(2, protocol)
    detections = torch.tensor(sorted(rows, key=lambda row: -row[4]))
    evaluation.add(detections, LABEL, None, unscored)
    return evaluation


@pytest.mark.parametrize("protocol", ["yolov5", "yolov8"])
@pytest.mark.parametrize(
    ("extra", "unscored"), [([ON_DIFFICULT, ON_DIFFICULT], DIFFICULT), (IN_CROWD, CROWD)]
)
def test_detections_on_a_difficult_object_or_in_a_crowd_do_not_count(
    extra: list[list[float]], unscored: torch.Tensor, protocol: str
) -> None:
    nothing = torch.zeros(0, 6)
    alone = score([ON_LABEL], nothing, protocol).result({0: "a", 1: "b"})
    ignored = score([ON_LABEL, *extra], unscored, protocol)
    assert figures_of(ignored.result({0: "a", 1: "b"})) == figures_of(alone)
    assert alone.instances == 1
    assert alone.map > 0.99
    counted = score([ON_LABEL, *extra], nothing, protocol)
    assert counted.result({0: "a", 1: "b"}).map < 0.6
    assert ignored.confusion.matrix[:, 2].sum() == 0
    assert counted.confusion.matrix[0, 2] == 2


def test_a_detection_of_another_class_or_elsewhere_stays_false() -> None:
    other = [*ON_DIFFICULT[:5], 1]
    for false in ([STRAY], [[*STRAY[:4], 0.99, 0], other]):
        with_marks = score([ON_LABEL, *false], DIFFICULT).result({0: "a", 1: "b"})
        assert with_marks.map < 0.6
    # The confusion matrix compares boxes of any class.
    assert score([ON_LABEL, other], DIFFICULT).confusion.matrix[:, 2].sum() == 0


def test_the_object_that_is_overlapped_most_decides_for_difficult_ones_only() -> None:
    near = torch.tensor([[2.0, 0, 42, 40, 0.9, 0]])
    exact = torch.tensor([[0.0, 2, 0, 42, 40, 0]])
    assert find_unscored(near, LABEL, exact).taken.tolist() == [True]
    as_crowd = torch.tensor([[0.0, 2, 0, 42, 40, 1]])
    relation = find_unscored(near, LABEL, as_crowd)
    assert relation.taken.tolist() == [False]
    correct = np.zeros((1, 10), bool)
    correct[0, :9] = True  # its IoU with the label is 0.905
    assert relation.ignored(correct, IOU_THRESHOLDS).tolist() == [[False] * 9 + [True]]


def test_all_detections_ignored_is_no_detection() -> None:
    nothing_found = Evaluation(2)
    nothing_found.add(torch.zeros(0, 6), LABEL)
    ignored = score([ON_DIFFICULT], DIFFICULT)
    figures = figures_of(ignored.result({0: "a"}))
    assert figures == figures_of(nothing_found.result({0: "a"})) == (1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(25))
def test_ignored_detections_count_as_if_they_did_not_exist(seed: int) -> None:
    """At one threshold: the same figures as without these rows."""
    rng = np.random.default_rng(seed)
    images = [random_image(rng, 2) for _ in range(4)]
    both, without = Evaluation(2), Evaluation(2)
    for found, labels in images:
        marked = random_image(rng, 2)[1]
        crowd = rng.random((len(marked), 1)) < 0.5
        unscored = torch.from_numpy(np.column_stack((marked, crowd)).astype(np.float32))
        detections, known = torch.from_numpy(found), torch.from_numpy(labels)
        both.add(detections, known, None, unscored)
        kept = ~both.ignored[-1][:, 0]
        taken = find_unscored(detections, known, unscored).taken if len(marked) else None
        rest = detections[torch.from_numpy(kept)].clone()
        if taken is not None:
            rest[torch.from_numpy(taken[kept]), :4] += 10_000  # false, wherever they are
        without.add(rest, known)
    names = {0: "a", 1: "b"}
    marked_result, plain_result = both.result(names), without.result(names)
    assert figures_of(marked_result)[:5] == figures_of(plain_result)[:5]


def test_crowds_agree_with_pycocotools_on_60_random_sets() -> None:
    differs = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        images = [random_image(rng, 2) for _ in range(3)]
        found, labels = [list(part) for part in zip(*images, strict=True)]
        crowds = [rows[rng.random(len(rows)) < 0.4][:, [5, 0, 1, 2, 3]] for rows in found]
        marked = [np.column_stack((rows, np.ones(len(rows)))) for rows in crowds]
        figures = evaluate_coco(found, labels, 2, marked)
        truth, results = as_files(found, labels, 2)
        plain = reference(truth, results)
        for number, rows in enumerate(crowds):
            for one, x1, y1, x2, y2 in rows.astype(float).tolist():
                sides = [x2 - x1, y2 - y1]
                mark = {"iscrowd": 1, "area": sides[0] * sides[1], "bbox": [x1, y1, *sides]}
                truth["annotations"].append({"image_id": number, "category_id": int(one), **mark})
        wanted = reference(truth, results)
        np.testing.assert_allclose(
            list(figures.values()), wanted, atol=1e-9, rtol=0, err_msg=f"seed {seed}"
        )
        differs += not np.array_equal(plain, wanted, equal_nan=True)
    assert differs > 20  # the crowds change the figures
