"""Suppression: YOLOv5's own rows, and that its shortcuts change nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import nms
from utils.boxes import xywh_to_xyxy
from utils.families import V5, V8, Family
from utils.files import ROOT
from utils.nms import NMSSettings, non_max_suppression

GOLDEN = Path(__file__).parents[1] / "golden/yolov5"
CASES = json.loads((GOLDEN / "nms.json").read_text())
ARRAYS = np.load(GOLDEN / "nms.npz")
FIELDS = {"conf_thres": "conf", "iou_thres": "iou"}


def settings_of(case: dict) -> NMSSettings:
    given = {
        FIELDS.get(key, key): value for key, value in case["kwargs"].items() if key != "labels"
    }
    return NMSSettings(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    )


def hybrid_labels() -> list[torch.Tensor]:
    rows = torch.tensor(ARRAYS["labels_img0"])
    return [torch.cat((rows[:, :1], xywh_to_xyxy(rows[:, 1:])), 1), torch.zeros(0, 5)]


@pytest.mark.parametrize("first_look", [nms.FIRST_LOOK, 16])
@pytest.mark.parametrize("name", CASES)
def test_rows_equal_golden(name: str, first_look: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nms, "FIRST_LOOK", first_look)
    case = CASES[name]
    labels = hybrid_labels() if "labels" in case["kwargs"] else None
    found = non_max_suppression(
        torch.tensor(ARRAYS[f"pred_{case['pred']}"]), V5, settings_of(case), labels
    )
    assert [len(rows) for rows in found] == case["n"]
    for number, rows in enumerate(found):
        wanted = ARRAYS[f"{name}_out{number}"]
        if labels and number == 0:  # two rows of score 1, whose order is not defined
            rows, wanted = torch.cat((rows[:2].flip(0), rows[2:])), wanted
        np.testing.assert_allclose(rows, wanted, atol=1e-5, rtol=0)


def crowd(count: int, class_count: int = 3, seed: int = 0) -> torch.Tensor:
    """One image whose boxes all score, as an untrained model's may: [1, count, 5 + class_count]."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(1, count, 5 + class_count, generator=generator)
    rows[..., :4] *= torch.tensor([640.0, 640, 90, 90])
    return rows


def test_looking_at_the_best_first_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = NMSSettings(conf=0.001, iou=0.6, multi_label=True)
    quick = non_max_suppression(crowd(3000), V5, settings)[0]
    monkeypatch.setattr(nms, "FIRST_LOOK", 10**6)
    assert torch.equal(quick, non_max_suppression(crowd(3000), V5, settings)[0])
    assert len(quick) == 300


def test_only_the_best_candidates_take_part_and_equal_ones_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nms, "MOST_CANDIDATES", 50)
    scores = (
        torch.rand(400, generator=torch.Generator().manual_seed(1)).mul(20).round()
    )  # many equal
    wanted = sorted(range(400), key=lambda number: -scores[number].item())[:50]
    image = torch.zeros(400, dtype=torch.int64)
    order, counts = nms.best_first(scores, image, 1)
    assert (order.tolist(), counts) == (wanted, [50])


@pytest.mark.parametrize("family", [V5, V8])
@pytest.mark.parametrize("most", [nms.MOST_CANDIDATES, 120])
def test_images_of_a_batch_are_selected_as_each_one_alone(
    family: Family, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU takes images one by one, an accelerator all at once."""
    monkeypatch.setattr(nms, "MOST_CANDIDATES", most)
    decoded = torch.cat([crowd(400, seed=seed).mul(8).round() / 8 for seed in range(3)])
    decoded[1, :, 4:] = 0
    labels = [torch.tensor([[1.0, 5, 5, 40, 40]]), torch.zeros(0, 5), torch.ones(2, 5)]
    for several, known in ((True, labels), (False, ()), (True, ())):
        settings = NMSSettings(conf=0.3, multi_label=several, classes=(1, 2))
        whole = nms.select(decoded, family, settings, known)
        for number, rows in enumerate(whole):
            image = slice(number, number + 1)
            (alone,) = nms.select(decoded[image], family, settings, known[image])
            assert torch.equal(rows, alone)
        assert len(whole[0]) > 100
        assert len(whole[1]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("renamed", [False, True])
def test_the_operator_needs_the_package_only_if_its_file_has_another_name(renamed: bool) -> None:
    code = "import sys, torch; from pathlib import Path; from utils.nms import load_operator\n"
    code += "Path.glob = lambda *_: ()\n" * renamed
    code += "boxes = torch.tensor([[0, 0, 9, 9], [0, 0, 9, 8.]])\n"
    code += "assert load_operator()(boxes, torch.tensor([.5, .9]), .5).tolist() == [1]\n"
    code += f"assert ('torchvision' in sys.modules) is {renamed}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nothing_is_dropped_however_many_images() -> None:
    decoded = crowd(400).expand(64, -1, -1)
    found = non_max_suppression(decoded, V5, NMSSettings(conf=0.001, iou=0.6, multi_label=True))
    assert all(torch.equal(rows, found[0]) for rows in found)
    assert len(found[0]) == 300


def test_a_box_has_one_class_unless_asked_otherwise() -> None:
    decoded = torch.tensor([[[50.0, 50, 20, 20, 1, 0.6, 0.8]]])
    assert non_max_suppression(decoded, V5)[0].tolist() == [pytest.approx([40, 40, 60, 60, 0.8, 1])]
    assert non_max_suppression(decoded, V5, NMSSettings(multi_label=True))[0][:, 5].tolist() == [
        1,
        0,
    ]
    assert non_max_suppression(decoded, V5, NMSSettings(multi_label=True, agnostic=True))[0][
        :, 5
    ].tolist() == [1]


def test_classes_are_moved_apart_as_far_as_yolov5_does() -> None:
    """The distance shows in images beyond it only, and in float32's rounding of high classes."""
    decoded = torch.tensor([[[7730.0, 7730, 20, 20, 1, 0.8, 0], [50, 50, 20, 20, 1, 0, 0.9]]])
    assert non_max_suppression(decoded, V5)[0][:, 5].tolist() == [1]
    decoded[0, 0, 0] += 100
    assert non_max_suppression(decoded, V5)[0][:, 5].tolist() == [1, 0]


def test_scores_at_the_bound_and_broken_numbers_are_left_out() -> None:
    decoded = torch.tensor(
        [[[50.0, 50, 20, 20, 0.25, 1.0], [50, 50, 20, 20, float("nan"), 1], [9, 9, 2, 2, 0.3, 1]]]
    )
    assert len(non_max_suppression(decoded, V5)[0]) == 1


def test_half_precision_and_empty_input() -> None:
    assert non_max_suppression(crowd(20).bfloat16(), V5)[0].dtype == torch.float32
    assert [rows.shape for rows in non_max_suppression(torch.zeros(2, 0, 8), V5)] == [
        (0, 6),
        (0, 6),
    ]


YOLOV8 = Path(__file__).parents[1] / "golden/yolov8"
FREE_CASES = json.loads((YOLOV8 / "nms.json").read_text())["cases"]
FREE_ARRAYS = np.load(YOLOV8 / "nms.npz")
CONSTANTS = {
    "max_nms": "MOST_CANDIDATES",
    "max_wh": "CLASS_OFFSET_PX",
}  # arguments there that are fixed here


@pytest.mark.parametrize(
    "name", sorted(set(FREE_CASES) - {"with_extra_nc5"})
)  # ours has no further columns
def test_rows_without_objectness_equal_golden_exactly(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict(FREE_CASES[name]["kwargs"])
    for key, constant in CONSTANTS.items():
        if key in given:
            monkeypatch.setattr(nms, constant, given.pop(key))
    decoded = torch.tensor(
        FREE_ARRAYS["pred"][:, :5] if name == "one_class" else FREE_ARRAYS["pred"]
    ).transpose(1, 2)
    found = non_max_suppression(decoded, V8, settings_of({"kwargs": given}))
    assert [len(rows) for rows in found] == FREE_CASES[name]["counts"]
    for number, rows in enumerate(found):
        assert np.array_equal(rows.numpy(), FREE_ARRAYS[f"{name}/{number}"])


def test_labels_join_in_without_objectness_too() -> None:
    decoded = torch.tensor([[[50.0, 50, 20, 20, 0.6, 0.1]]])
    rows = non_max_suppression(decoded, V8, labels=[torch.tensor([[1.0, 0, 0, 10, 10]])])[0]
    assert rows.tolist() == [[0, 0, 10, 10, 1, 1], pytest.approx([40, 40, 60, 60, 0.6, 0])]


def test_empty_input_without_objectness() -> None:
    assert [rows.shape for rows in non_max_suppression(torch.zeros(2, 0, 7), V8)] == [
        (0, 6),
        (0, 6),
    ]
