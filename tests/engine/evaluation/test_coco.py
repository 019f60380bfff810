"""COCO's protocol against pycocotools, its reference, on random sets; reading of its files."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.coco import FIGURES, evaluate_coco, score_json
from utils.errors import UserError

EMPTY_TRUTH = '{"images": [], "annotations": [], "categories": []}'
Images = tuple[list[np.ndarray], list[np.ndarray], int]


def random_set(seed: int) -> Images:
    """Images with labels of all sizes, and detections of all kinds.

    Detections lie near labels, some twice, some with a wrong class or elsewhere, some with equal
    scores.
    """
    generator = np.random.default_rng(seed)
    class_count = int(generator.integers(1, 4))
    images = [random_image(generator, class_count) for _ in range(generator.integers(1, 5))]
    return [found for found, _ in images], [labels for _, labels in images], class_count


def random_image(generator: np.random.Generator, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    count = generator.integers(0, 7)
    corner, sides = (
        generator.uniform(0, 300, (count, 2)),
        np.exp(generator.uniform(1.5, 5.5, (count, 2))),
    )
    classes = generator.integers(0, class_count, count)
    labels = np.column_stack((classes, corner, corner + sides))
    near = labels.repeat(generator.integers(0, 3, count), 0)
    near[:, 1:] += np.tile(near[:, 3:] - near[:, 1:3], 2) * generator.normal(
        0, 0.07, (len(near), 4)
    )
    near[:, 3:] = np.maximum(near[:, 3:], near[:, 1:3] + 1)
    corner = generator.uniform(0, 300, (generator.integers(0, 5), 2))
    stray = np.column_stack(
        (generator.integers(0, class_count, len(corner)), corner, corner * 1.3 + 9)
    )
    rows = np.concatenate((near, stray))
    renamed = generator.random(len(rows)) < 0.15
    rows[renamed, 0] = generator.integers(0, class_count, renamed.sum())
    scores = generator.random(len(rows)).round(generator.integers(1, 8))
    found = np.column_stack((rows[:, 1:], scores, rows[:, 0]))
    return found[np.argsort(-scores, kind="stable")].astype(np.float32), labels.astype(np.float32)


def as_files(
    detections: list[np.ndarray], labels: list[np.ndarray], class_count: int
) -> tuple[dict, list]:
    """The contents of an annotation and a results file, independent of the code under test."""
    annotations: list[dict] = []
    for image, rows in enumerate(labels):
        for number, x1, y1, x2, y2 in rows.astype(float).tolist():
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(number), **box}
            )
    results = [
        {
            "image_id": image,
            "category_id": int(number),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for image, rows in enumerate(detections)
        for x1, y1, x2, y2, score, number in rows.astype(float).tolist()
    ]
    categories = [{"id": number, "name": f"class {number}"} for number in range(class_count)]
    images = [{"id": image} for image in range(len(labels))]
    return {
        "info": {},
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }, results


def reference(truth: dict, results: list) -> np.ndarray:
    """pycocotools' twelve figures, NaN for none."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for content in (truth["annotations"], results):
            side = COCO()
            rows = [{"area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0, **row, "id": i + 1}
                    for i, row in enumerate(content)]  # fmt: skip
            side.dataset = {**truth, "annotations": rows}
            side.createIndex()
            sides.append(side)
        run = COCOeval(*sides, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return np.where(run.stats < 0, np.nan, run.stats)


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_agrees_with_pycocotools_on_random_sets(count: int) -> None:
    finite = 0
    for seed in range(count):
        sets = random_set(seed)
        figures = evaluate_coco(*sets)
        assert tuple(figures) == FIGURES
        wanted = reference(*as_files(*sets))
        np.testing.assert_allclose(
            list(figures.values()), wanted, atol=1e-9, rtol=0, err_msg=f"seed {seed}"
        )
        finite += int(np.isfinite(wanted).sum())
    assert finite > 7.5 * count  # the sets are not trivially empty


def test_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    evaluate_coco(*random_set(0))
    assert capfd.readouterr() == ("", "")


def test_nothing_to_score() -> None:
    box = np.array([[0, 0, 20, 20, 0.9, 0]], np.float32)
    labels = np.array([[0, 0, 0, 20, 20]], np.float32)
    none, no_labels = np.zeros((0, 6), np.float32), np.zeros((0, 5), np.float32)
    assert all(np.isnan(list(evaluate_coco(found, rows, 1).values())).all() for found, rows in
               (([], []), ([none], [no_labels]), ([box], [no_labels])))  # fmt: skip
    figures = evaluate_coco([none], [labels], 1)
    assert figures["AP"] == figures["AP_small"] == figures["AR100"] == 0
    assert np.isnan(figures["AP_large"])


def test_files_score_as_arrays_do(tmp_path: Path) -> None:
    sets = random_set(3)
    truth, results = as_files(*sets)
    for name, content in (("truth.json", truth), ("found.json", results)):
        (tmp_path / name).write_text(json.dumps(content))
    assert score_json(tmp_path / "found.json", tmp_path / "truth.json") == pytest.approx(
        evaluate_coco(*sets), nan_ok=True, abs=1e-12
    )


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (None, "{}", "found.json: cannot be read"),
        ("[", "{}", "found.json: not valid JSON"),
        ("{}", EMPTY_TRUTH, "found.json: is no COCO results"),
        ('[{"score": 1}]', EMPTY_TRUTH, "found.json: is no COCO results"),
        ("[]", "{}", "truth.json: is no COCO annotation file"),
        (
            '[{"image_id": 7, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1}]',
            '{"images": [{"id": 3}], "annotations": [], "categories": []}',
            "image_id 7 is not in",
        ),
    ],
)
def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, found: str | None, truth: str, message: str
) -> None:
    (tmp_path / "truth.json").write_text(truth)
    if found is not None:
        (tmp_path / "found.json").write_text(found)
    with pytest.raises(UserError, match=message):
        score_json(tmp_path / "found.json", tmp_path / "truth.json")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(UserError, match="pip install faster-coco-eval"):
        evaluate_coco(*random_set(0))
