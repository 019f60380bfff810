"""evaluate(): a perfect detector scores 1, an empty one 0, and all requested files are written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from torch import nn

from engine.evaluation.evaluate import EvalSettings, evaluate
from utils.errors import UserError
from utils.families import V5, V8, Family
from utils.structures import Batch

NAMES = {0: "red", 1: "green", 2: "blue"}
GAIN, PAD = (0.5, 0.5), (0.0, 8.0)


def make_batches() -> list[Batch]:
    """Two batches of two images, originally 200 x 96, here 100 x 64; the last one has no label."""
    boxes = [
        [[0, 0, 10, 12, 30, 40], [0, 1, 50, 20, 90, 50], [1, 2, 5, 10, 95, 54]],
        [[0, 0, 1, 9, 9, 17], [0, 0, 40, 20, 60, 30]],
    ]
    return [
        Batch(
            images=torch.full((2, 3, 64, 100), 114, dtype=torch.uint8),
            targets=torch.tensor(rows, dtype=torch.float32),
            indices=(2 * number, 2 * number + 1),
            paths=(f"/set/images/{2 * number}.jpg", f"/set/images/{2 * number + 1}.jpg"),
            original_sizes=((96, 200),) * 2,
            gains=(GAIN,) * 2,
            pads=(PAD,) * 2,
        )
        for number, rows in enumerate(boxes)
    ]


class Oracle(nn.Module):
    """A model that finds exactly the labels of these batches, in their order.

    class_shift is added to the classes of its detections.
    """

    def __init__(self, batches: list[Batch], class_shift: int = 0) -> None:
        super().__init__()
        self.names, self.family = NAMES, V5
        self.batches, self.class_shift, self.calls = batches, class_shift, 0
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        assert not self.training
        self.seen.append(images)
        batch = self.batches[self.calls]
        self.calls += 1
        decoded = torch.zeros(len(images), 4, 5 + len(NAMES))
        for number in range(len(images)):
            rows = batch.targets[batch.targets[:, 0] == number]
            low, high = rows[:, 2:4], rows[:, 4:6]
            decoded[number, : len(rows), :4] = torch.cat(((low + high) / 2, high - low), 1)
            decoded[number, : len(rows), 4] = 0.9
            classes = (rows[:, 1].long() + self.class_shift) % len(NAMES)
            decoded[number, torch.arange(len(rows)), 5 + classes] = 1.0
        return decoded, [torch.ones(1)]


class Blind(nn.Module):
    """A model that finds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.family = NAMES, V5

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.zeros(len(images), 4, 5 + len(NAMES)), None


def test_a_perfect_detector_scores_one(capsys: pytest.CaptureFixture[str]) -> None:
    batches = make_batches()
    model = Oracle(batches).train()
    metrics = evaluate(model, batches, EvalSettings(verbose=True, area=True))
    assert (metrics.images, metrics.instances) == (4, 5)
    assert metrics.map50 == pytest.approx(
        0.995, abs=1e-3
    )  # the slope of YOLOv5's curve after the last recall costs half a step
    assert metrics.map == pytest.approx(metrics.map50)
    assert metrics.coco["AP"] == pytest.approx(1.0)
    assert (metrics.ap_small, metrics.ap_medium) == (pytest.approx(1.0), pytest.approx(1.0))
    assert model.training, "the mode is restored"
    assert metrics.details.input_shape == (2, 3, 64, 100)
    assert metrics.details.class_ap == pytest.approx([metrics.map] * 3)
    assert model.seen[0].dtype == torch.float32
    assert float(model.seen[0].max()) == pytest.approx(114 / 255)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95"]
    assert [line.split()[0] for line in table[1:]] == ["all", "red", "green", "blue"]
    assert table[2].split()[1:3] == ["2", "3"]


def test_area_is_that_of_the_original_image() -> None:
    batches = make_batches()
    metrics = evaluate(Oracle(batches), batches, EvalSettings(area=True, quiet=True))
    # 20 x 28 here is 40 x 56 there: medium, though below 32 x 32 in the network's input
    assert metrics.coco["AP_medium"] == pytest.approx(1.0)
    assert metrics.coco["AP_large"] == pytest.approx(1.0)


def test_an_empty_detector_scores_zero(tmp_path: Path) -> None:
    settings = EvalSettings(
        area=True, quiet=True, plots=True, save_dir=tmp_path, save_txt=True, json_name="p.json"
    )
    metrics = evaluate(Blind(), make_batches(), settings)
    assert (metrics.map, metrics.map50, metrics.precision, metrics.recall) == (0, 0, 0, 0)
    assert json.loads((tmp_path / "p.json").read_text()) == []
    assert list((tmp_path / "labels").iterdir()) == []
    assert (tmp_path / "PR_curve.png").stat().st_size > 5000


def test_sheets_are_drawn_without_the_other_plots(tmp_path: Path) -> None:
    batches = make_batches()
    evaluate(Oracle(batches), batches, EvalSettings(quiet=True, sheets=1, save_dir=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "val_batch0_labels.jpg",
        "val_batch0_pred.jpg",
    ]


def test_a_sheet_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    batches = make_batches()
    (tmp_path / "val_batch1_pred.jpg").mkdir()
    settings = EvalSettings(quiet=True, sheets=2, save_dir=tmp_path)
    with pytest.raises(UserError, match=r"val_batch1_pred\.jpg"):
        evaluate(Oracle(batches), batches, settings)


def test_wrong_classes_count_unless_there_is_only_one() -> None:
    batches = make_batches()
    assert evaluate(Oracle(batches, class_shift=1), batches, EvalSettings(quiet=True)).map50 < 0.01
    single = make_batches()
    for batch in single:
        batch.targets[:, 1] = 0
    metrics = evaluate(
        Oracle(make_batches(), class_shift=1), single, EvalSettings(quiet=True, single_cls=True)
    )
    assert metrics.map50 == pytest.approx(0.995, abs=1e-3)


def test_everything_is_written(tmp_path: Path) -> None:
    batches = make_batches()
    flags = {"plots": True, "save_txt": True, "save_conf": True, "json_name": "p.json"}
    settings = EvalSettings(quiet=True, save_dir=tmp_path, **flags)
    evaluate(Oracle(batches), batches, settings)
    images = {
        "PR_curve.png",
        "F1_curve.png",
        "P_curve.png",
        "R_curve.png",
        "confusion_matrix.png",
    }
    images |= {f"val_batch{number}_{kind}.jpg" for number in (0, 1) for kind in ("labels", "pred")}
    assert {file.name for file in tmp_path.iterdir()} == images | {"p.json", "labels"}
    for name in images:
        assert cv2.imread(str(tmp_path / name)).shape[0] > 400
    assert sorted(file.name for file in (tmp_path / "labels").iterdir()) == [
        "0.txt",
        "1.txt",
        "2.txt",
    ]
    rows = [
        [float(cell) for cell in line.split()]
        for line in (tmp_path / "labels" / "0.txt").read_text().splitlines()
    ]
    assert sorted(rows) == [
        pytest.approx([0, 0.2, 36 / 96, 0.2, 56 / 96, 0.9], abs=1e-5),
        pytest.approx([1, 0.7, 54 / 96, 0.4, 60 / 96, 0.9], abs=1e-5),
    ]
    records = json.loads((tmp_path / "p.json").read_text())
    assert len(records) == 5
    first = next(
        record for record in records if record["image_id"] == 0 and record["category_id"] == 0
    )
    assert first["bbox"] == pytest.approx([20, 8, 40, 56], abs=2e-3)
    assert first["score"] == pytest.approx(0.9, abs=1e-5)


def test_losses_are_means_over_batches() -> None:
    batches = make_batches()
    calls = []

    class FourTerms:
        names = ("a", "b", "c", "d")

        def __call__(
            self, raw: list[torch.Tensor], targets: torch.Tensor, image_size: tuple[int, int]
        ) -> tuple[torch.Tensor, torch.Tensor]:
            calls.append((len(targets), image_size))
            return torch.zeros(()), torch.tensor([1.0, 2.0, 3.0, 4.0]) * len(calls)

    metrics = evaluate(Oracle(batches), batches, EvalSettings(quiet=True, loss=FourTerms()))
    assert metrics.losses == pytest.approx((1.5, 3.0, 4.5, 6.0))
    assert calls == [(3, (64, 100)), (2, (64, 100))]


class Overlapping(nn.Module):
    """In each image two boxes of one class with an IoU of 0.667; the family is given."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.names, self.family = NAMES, family

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        certain = [1.0] if self.family.has_objectness else []
        rows = [[20.0, 26, 40, 28, *certain, 0.9, 0, 0], [28.0, 26, 40, 28, *certain, 0.8, 0, 0]]
        return torch.tensor([rows] * len(images)), None


@pytest.mark.parametrize(
    ("family", "iou", "count"),
    [(V5, None, 1), (V8, None, 2), (V8, 0.6, 1), (V5, 0.7, 2)],
)
def test_the_usual_overlap_is_the_familys(
    family: Family, iou: float | None, count: int, tmp_path: Path
) -> None:
    settings = EvalSettings(quiet=True, iou=iou, save_dir=tmp_path, save_txt=True)
    evaluate(Overlapping(family), make_batches(), settings)
    assert [
        len((tmp_path / "labels" / f"{number}.txt").read_text().splitlines()) for number in range(4)
    ] == [count] * 4


def test_the_protocol_reaches_the_metrics() -> None:
    batches = make_batches()
    metrics = evaluate(
        Oracle(batches, class_shift=0), batches, EvalSettings(quiet=True, protocol="yolov8")
    )
    assert metrics.protocol == "yolov8"
    assert metrics.fitness == metrics.map


def test_hybrid_labels_join_the_detections(tmp_path: Path) -> None:
    settings = EvalSettings(quiet=True, save_dir=tmp_path, save_txt=True, save_hybrid=True)
    evaluate(Blind(), make_batches(), settings)
    assert len((tmp_path / "labels" / "0.txt").read_text().splitlines()) == 2


def test_no_images_and_no_labels() -> None:
    assert evaluate(Blind(), [], EvalSettings(quiet=True, area=True)).images == 0
    batches = make_batches()
    bare = [
        Batch(b.images, b.targets[:0], b.indices, b.paths, b.original_sizes, b.gains, b.pads)
        for b in batches
    ]
    metrics = evaluate(Oracle(batches), bare, EvalSettings(quiet=True, area=True))
    assert (metrics.images, metrics.instances, metrics.map) == (4, 0, 0)


def test_speed_has_its_three_stages() -> None:
    batches = make_batches()
    speed = evaluate(Oracle(batches), batches, EvalSettings(quiet=True)).speed_ms
    assert list(speed) == ["preprocess", "inference", "nms"]
    assert all(value > 0 for value in speed.values())


def test_boxes_may_be_matched_in_other_pixels_than_they_are_kept_in() -> None:
    """YOLOv8 matches before it clips to the image: a box that extends far beyond it is no hit."""
    from engine.evaluation.metrics import Evaluation

    label = torch.tensor([[0.0, 0.0, 0.0, 10.0, 10.0]])
    beyond = torch.tensor([[-20.0, 0.0, 10.0, 10.0, 0.9, 0.0]])
    clipped = torch.tensor([[0.0, 0.0, 10.0, 10.0, 0.9, 0.0]])
    for compared, right in (((beyond, label), False), (None, True)):
        evaluation = Evaluation(1, "yolov8")
        evaluation.add(clipped, label, compared)
        assert bool(evaluation.correct[0].any()) is right
        assert evaluation.detections[0].tolist() == clipped.tolist()


def test_an_unreadable_image_counts_its_objects_as_missed_and_is_noted() -> None:
    batches = make_batches()
    whole = evaluate(Oracle(batches), batches, EvalSettings(quiet=True))
    failures = ((batches[0].paths[1], "image missing: no such file"),)
    lost = [replace(batches[0], failures=failures), batches[1]]
    metrics = evaluate(Oracle(lost), lost, EvalSettings(quiet=True))
    assert metrics.instances == whole.instances
    assert metrics.recall < whole.recall
    assert whole.notes == ()
    assert metrics.notes == (
        "1 validation images could not be read (/set/images/1.jpg: image missing: no such file);"
        " their objects count as missed",
    )
