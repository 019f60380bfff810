"""The loss of anchor-free heads: YOLOv8's terms and gradients in every case, and what must not
change them.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.losses import build_loss
from models.losses.task_align import AlignSettings, align_targets
from models.losses.v8 import (
    ReadMap,
    TaskAlignedLoss,
    TaskAlignedSettings,
)
from utils.boxes import bbox_ciou, denormalise_boxes
from utils.errors import UserError
from utils.families import V5, V8
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec

GOLDEN = Path(__file__).parents[2] / "golden/yolov8"
FACTS = json.loads((GOLDEN / "loss_cases.json").read_text())["cases"]
CASES = {name: case for name, case in FACTS.items() if "class_weights" not in case}  # not an option
ARRAYS = np.load(GOLDEN / "loss_cases.npz")
MATH = np.load(GOLDEN / "box_math.npz")
STRIDES = (8.0, 16.0, 32.0)
HYP = Hyperparameters(box=7.5, cls=0.5, dfl=1.5)


def levels_of(rows: torch.Tensor, size: tuple[int, int]) -> list[torch.Tensor]:
    """[B, C, A] -> per level [B, C, rows, columns]."""
    grids = [(int(size[0] / stride), int(size[1] / stride)) for stride in STRIDES]
    parts = rows.split([height * width for height, width in grids], 2)
    return [part.unflatten(2, grid) for part, grid in zip(parts, grids, strict=True)]


def load(name: str) -> tuple[TaskAlignedLoss, list[torch.Tensor], torch.Tensor, tuple[int, int]]:
    """A golden case as the training loop has it: loss, raw maps (leaves), targets in pixels,
    image size.
    """
    base = name.split("+")[0]
    size = tuple(CASES[base]["hw"])
    spec = HeadSpec(V8, CASES[base]["nc"], STRIDES, reg_max=16)
    hyp = Hyperparameters(box=7.5, cls=0.5, dfl=1.5, small_side=0.0 if "no_floor" in name else 16.0)
    loss = build_loss(spec, hyp, 640)
    rows = torch.cat(
        (torch.tensor(ARRAYS[f"{base}/boxes"]), torch.tensor(ARRAYS[f"{base}/scores"])), 1
    )
    raw = [level.clone().requires_grad_() for level in levels_of(rows, size)]
    labels = np.stack((ARRAYS[f"{base}/batch_idx"], ARRAYS[f"{base}/cls"].reshape(-1)), 1)
    boxes = denormalise_boxes(torch.tensor(ARRAYS[f"{base}/bboxes"]), size)
    return loss, raw, torch.cat((torch.tensor(labels), boxes), 1), size


def assert_same_gradient(found: torch.Tensor, expected: np.ndarray) -> None:
    """Within 1e-5 of the largest value. Both were computed in float32; with AVX-512, AVX2 and
    SSE4.1 they differ by at most 3.1e-6 of it, in the cases crowd and degenerate.
    """
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max() + 1e-7, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_equal_golden(name: str) -> None:
    base, case = CASES[name.split("+")[0]], CASES[name]
    loss, raw, targets, size = load(name)
    total, items = loss(raw, targets, size)
    total.backward()
    assert (items * base["bs"]).tolist() == pytest.approx(case["loss_times_bs"], rel=1e-5)
    assert total.item() == pytest.approx(sum(case["loss_times_bs"]), rel=1e-5)
    assert not items.requires_grad
    boxes, scores = torch.cat([level.grad.flatten(2) for level in raw], 2).split(
        (64, base["nc"]), 1
    )
    assert boxes.norm().item() == pytest.approx(case["grad_boxes_norm"], rel=1e-5, abs=1e-7)
    assert scores.norm().item() == pytest.approx(case["grad_scores_norm"], rel=1e-5)
    if f"{name}/grad_boxes" in ARRAYS:
        assert_same_gradient(boxes, ARRAYS[f"{name}/grad_boxes"])
        assert_same_gradient(scores, ARRAYS[f"{name}/grad_scores"])


@pytest.mark.parametrize("name", [name for name in CASES if "+" not in name])
def test_positives_equal_golden_where_they_count(name: str) -> None:
    """Cells that golden has beyond ours are ties at alignment 0: without weight, so the terms above
    agree.
    """
    loss, raw, targets, _ = load(name)
    found = align_targets(loss.predict(raw), targets, loss.settings.align)
    alive = found.weight > 0
    place = (found.image[alive], found.cell[alive])
    first = torch.searchsorted(
        targets[:, 0].contiguous(), place[0].float()
    )  # an image's rows lie together
    assert ARRAYS[f"{name}/fg_mask"][place].all()
    np.testing.assert_array_equal(
        found.target[alive] - first, ARRAYS[f"{name}/target_gt_idx"][place]
    )


def test_ciou_of_corners_and_its_gradient_equal_golden() -> None:
    first, second = torch.tensor(MATH["iou_a"]), torch.tensor(MATH["iou_b"], requires_grad=True)
    overlap = bbox_ciou(first, second, xyxy=True)
    np.testing.assert_allclose(overlap.detach(), MATH["ciou"], atol=1e-6)
    overlap.sum().backward()
    np.testing.assert_allclose(second.grad, MATH["ciou_grad_b"], atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_reading_a_map_has_the_gradient_of_plain_operations(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(2, 11, 3, 5, generator=generator).to(memory_format=layout)
    place = torch.tensor([[0, 0, 1], [0, 2, 1], [1, 4, 3]])
    share = torch.randn(3, 11, generator=generator)
    mine, plain = values.clone().requires_grad_(), values.clone().requires_grad_()
    entropy, cells = ReadMap.apply(mine, place, 8)
    wanted = F.softplus(plain[:, 8:])
    picked = plain[place[0], :, place[1], place[2]]
    assert torch.equal(cells, picked)
    torch.testing.assert_close(entropy, wanted.sum())
    (entropy * 3 + (cells * share).sum()).backward()
    (wanted.sum() * 3 + (picked * share).sum()).backward()
    torch.testing.assert_close(mine.grad, plain.grad)
    assert mine.grad.stride() == values.stride()


def test_a_map_of_one_cell_is_left_as_it_was() -> None:
    """Its channels lie in a row, so that a slice of them is no copy and must not be written to."""
    level = torch.randn(1, 9, 1, 1).requires_grad_()
    before = level.detach().clone()
    ReadMap.apply(level, torch.zeros(3, 1, dtype=torch.long), 8)[0].backward()
    assert torch.equal(level, before)


def test_precision_layout_and_autocast_change_nothing() -> None:
    loss, raw, targets, size = load("normal")
    low = [level.detach().bfloat16().requires_grad_() for level in raw]
    total, _ = loss(low, targets, size)
    total.backward()
    assert total.dtype == torch.float32
    assert low[0].grad.dtype == torch.bfloat16
    wanted = loss([level.detach().float() for level in low], targets, size)[0]
    assert torch.equal(total, wanted)
    last = [level.detach().to(memory_format=torch.channels_last) for level in low]
    assert loss(last, targets, size)[0].item() == pytest.approx(wanted.item(), rel=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(low, targets, size)[0], wanted)


@pytest.mark.parametrize("rows", [torch.zeros(0, 6), torch.tensor([[0, 0, 200.0, 200, 210, 210]])])
def test_without_positives_only_classes_learn(rows: torch.Tensor) -> None:
    loss, raw, _, size = load("all_empty")
    total, items = loss(raw, rows, size)
    total.backward()
    assert items[0] == items[2] == 0 < items[1]
    assert all(not level.grad[:, :64].any() and level.grad[:, 64:].all() for level in raw)


def test_strange_values_do_not_crash() -> None:
    loss, raw, targets, size = load("tiny")
    assert not loss([torch.full_like(level, math.nan) for level in raw], targets, size)[
        0
    ].isfinite()
    assert loss([level.detach() * 1e4 for level in raw], targets, size)[0].isfinite()


def test_a_loss_can_be_learnt() -> None:
    loss, raw, targets, size = load("only_middle_image")
    optimizer = torch.optim.Adam(raw, lr=0.1)
    first = loss(raw, targets, size)[0].item()
    for _ in range(80):
        optimizer.zero_grad()
        total, items = loss(raw, targets, size)
        total.backward()
        optimizer.step()
    assert total.item() < first / 3
    assert items[0] < 0.5


def test_label_smoothing_is_refused():
    with pytest.raises(UserError, match=r"--label-smoothing=0.1: .*no such option"):
        build_loss(HeadSpec(V8, 3, STRIDES, reg_max=16), HYP, 640, label_smoothing=0.1)


def test_a_head_without_distances_is_refused():
    with pytest.raises(UserError, match=r"reg_max=0: .*1 value a side"):
        build_loss(HeadSpec(V8, 3, STRIDES), HYP, 640)


def test_focal_loss_is_refused():
    with pytest.raises(UserError, match=r"fl_gamma=1\.5: "):
        build_loss(HeadSpec(V8, 3, STRIDES, reg_max=16), Hyperparameters(fl_gamma=1.5), 640)


def test_hyperparameters_reach_the_loss():
    loss = build_loss(
        HeadSpec(V8, 3, STRIDES, reg_max=16),
        Hyperparameters(box=2, cls=3, dfl=4, small_side=5),
        320,
    )
    assert loss.settings == TaskAlignedSettings((2, 3, 4), AlignSettings(small_side=5))
    assert loss.names == ("box", "cls", "dfl")
    assert (Hyperparameters().dfl, Hyperparameters().small_side) == (1.5, 16.0)


def test_a_head_spec_has_the_defaults_of_what_it_lacks():
    assert HeadSpec(V8, 3, STRIDES, reg_max=16).anchors == ()
    assert HeadSpec(V5, 3, (8.0,), (((10, 13),),)).reg_max == 0
