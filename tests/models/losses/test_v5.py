"""The loss: YOLOv5's totals, terms and gradients in every variant, and what must not change it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.losses import build_loss
from models.losses.v5 import AnchorLoss, cross_entropy, scaled_gains
from tests.models.losses.anchors import P5, P6
from utils.boxes import denormalise_boxes
from utils.errors import UserError
from utils.families import V5, V8
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec

GOLDEN = Path(__file__).parents[2] / "golden/yolov5"
CASES = json.loads((GOLDEN / "loss.json").read_text())
ARRAYS = np.load(GOLDEN / "loss.npz")
SIZE = (96, 160)
ANCHORS = {"yolov5n": P5, "yolov5n6": P6}
UNSCALED = {
    "box": 0.05,
    "cls": 0.5,
    "obj": 1.0,
}  # what the golden program scaled before its loss saw it


def spec_of(case: dict) -> HeadSpec:
    anchors = ANCHORS[case["cfg"]]
    return HeadSpec(V5, case["nc"], tuple(8.0 * 2**level for level in range(len(anchors))), anchors)


class Variant(AnchorLoss):
    """The golden program's options that nothing here sets, so that its cases prove the rest.

    best_wins: of several targets in one cell, the best predicted one gives the objectness target.
    autobalance: the levels' weights follow their objectness losses.
    """

    best_wins = autobalance = False

    def cell_quality(
        self, iou: torch.Tensor, owner: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        if self.best_wins:
            return iou.new_zeros(len(owner)).scatter_reduce_(0, place, iou, "amax")
        return super().cell_quality(iou, owner, place)

    def objectness(self, *arguments) -> torch.Tensor:
        self.seen: list[float] = []
        total = super().objectness(*arguments)
        if self.autobalance:
            moved = [
                balance * 0.9999 + 0.0001 / loss
                for balance, loss in zip(self.balance, self.seen, strict=False)
            ]
            reference = 1  # of the level with a stride of 16
            self.balance = [
                value / moved[reference] for value in (*moved, *self.balance[len(moved) :])
            ]
        return total

    def level_objectness(self, everywhere: torch.Tensor, correction: torch.Tensor) -> torch.Tensor:
        loss = super().level_objectness(everywhere, correction)
        self.seen.append(loss.item())
        return loss


def variant(spec: HeadSpec, hyp: Hyperparameters, smoothing: float = 0.0, **options) -> Variant:
    plain = build_loss(spec, hyp, 640, smoothing)
    loss = Variant(plain.anchors, plain.settings)
    vars(loss).update(options)
    return loss


def loss_of(case: dict) -> AnchorLoss:
    given = {key: case["hyp"][key] for key in ("cls_pw", "obj_pw", "anchor_t", "fl_gamma")}
    hyp, smoothing = Hyperparameters(**UNSCALED, **given), case["hyp"]["label_smoothing"]
    options = {"autobalance": case["autobalance"], "best_wins": case["sort_obj_iou"]}
    if any(options.values()):
        return variant(spec_of(case), hyp, smoothing, **options)
    return build_loss(spec_of(case), hyp, 640, smoothing)


def maps_of(spec: HeadSpec) -> list[torch.Tensor]:
    maps = []
    for level, stride in enumerate(spec.strides):
        grid = (math.ceil(SIZE[0] / stride), math.ceil(SIZE[1] / stride))
        generator = np.random.Generator(np.random.PCG64(100 + level))
        values = generator.standard_normal((2, 3, *grid, 5 + spec.class_count)).astype(np.float32)
        maps.append(torch.tensor(values, requires_grad=True))
    return maps


def targets_of(name: str) -> torch.Tensor:
    stored = f"{name}_targets" if f"{name}_targets" in ARRAYS else "base_targets"
    rows = torch.tensor(ARRAYS[stored])
    return torch.cat((rows[:, :2], denormalise_boxes(rows[:, 2:], SIZE)), 1)


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_equal_golden(name: str) -> None:
    case = CASES[name]
    loss, maps = loss_of(case), maps_of(spec_of(case))
    total, items = loss(maps, targets_of(name), SIZE)
    total.backward()
    assert total.item() == pytest.approx(case["total"], rel=1e-5)
    assert items.tolist() == pytest.approx(case["items_box_obj_cls"], rel=1e-5)
    assert not items.requires_grad
    assert loss.balance == pytest.approx(case["balance_after"], rel=1e-6)
    for level, raw in enumerate(maps):
        by_channel = raw.grad.flatten(0, 3).norm(dim=0).tolist()
        assert by_channel == pytest.approx(case["grad_norm_by_channel"][level], abs=1e-6)
        if f"{name}_grad{level}" in ARRAYS:
            np.testing.assert_allclose(raw.grad, ARRAYS[f"{name}_grad{level}"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_cross_entropy_is_torchs_own(weight: float) -> None:
    """In float64, since torch's float32 one loses small values altogether."""
    logits, target = torch.linspace(-30, 30, 40), torch.linspace(0, 1, 40).flip(0)
    reference = torch.nn.functional.binary_cross_entropy_with_logits
    positive = torch.tensor(weight, dtype=torch.float64)
    for given, meant in ((target, target), (None, torch.zeros(40))):
        wanted = reference(logits.double(), meant.double(), pos_weight=positive, reduction="none")
        torch.testing.assert_close(
            cross_entropy(logits, given, weight, 0.0).double(), wanted, rtol=1e-5, atol=1e-12
        )


def base() -> tuple[AnchorLoss, list[torch.Tensor], torch.Tensor]:
    case = CASES["base"]
    return loss_of(case), maps_of(spec_of(case)), targets_of("base")


def test_gains_follow_levels_classes_and_size() -> None:
    loss = build_loss(spec_of(CASES["four_levels"]), Hyperparameters(**UNSCALED), 640, 0.0)
    wanted = CASES["four_levels"]["hyp"]
    assert loss.settings.gains == pytest.approx((wanted["box"], wanted["obj"], wanted["cls"]))
    small = build_loss(spec_of(CASES["base"]), Hyperparameters(**UNSCALED), 320, 0.0)
    assert small.settings.gains[1] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("levels", "classes", "imgsz", "gains"),
    [(3, 80, 640, (0.05, 1.0, 0.5)), (4, 20, 1280, (0.0375, 3.0, 0.09375))],
)
def test_gains_are_yolov5s_of_the_same_head(
    levels: int, classes: int, imgsz: int, gains: tuple[float, ...]
) -> None:
    spec = HeadSpec(V5, classes, (8.0,) * levels)
    assert scaled_gains(Hyperparameters(), spec, imgsz) == pytest.approx(gains)


def test_maps_of_lower_precision_are_computed_in_float32() -> None:
    loss, maps, targets = base()
    low = [raw.detach().bfloat16().requires_grad_() for raw in maps]
    total, _ = loss(low, targets, SIZE)
    wanted, _ = loss([raw.detach().float() for raw in low], targets, SIZE)
    assert total.dtype == torch.float32
    assert torch.equal(total, wanted)
    total.backward()
    assert low[0].grad.dtype == torch.bfloat16


def test_memory_layout_of_maps_does_not_matter() -> None:
    loss, maps, targets = base()
    wanted, _ = loss(maps, targets, SIZE)
    strided = [raw.permute(0, 1, 4, 2, 3).contiguous().permute(0, 1, 3, 4, 2) for raw in maps]
    assert not strided[0].is_contiguous()
    assert loss(strided, targets, SIZE)[0].item() == pytest.approx(wanted.item(), rel=1e-6)


def test_gradients_are_the_same_every_time_with_several_threads() -> None:
    """Adding up gradients of predictions that many targets share must not depend on which thread
    comes first.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.stack((torch.zeros(3000), torch.randint(80, (3000,), generator=generator)), 1)
    centre, sides = (
        torch.rand(2, 3000, 2, generator=generator) * 24 + 8
    )  # three by three cells, hundreds in each
    crowd = torch.cat((labels, centre - sides / 2, centre + sides / 2), 1)
    loss = build_loss(HeadSpec(V5, 80, (8.0,), (((16, 16),),)), Hyperparameters(), 640, 0.0)
    values = torch.randn(1, 1, 5, 5, 85, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    for _ in range(6):
        raw = values.clone().requires_grad_()
        loss([raw], crowd, (40, 40))[0].backward()
        seen.append(raw.grad)
    torch.set_num_threads(threads)
    assert all(torch.equal(seen[0], other) for other in seen)


@pytest.mark.parametrize(("best_wins", "owner"), [(False, 1), (True, 0)])
def test_one_target_owns_a_shared_cell(best_wins: bool, owner: int) -> None:
    """Two targets in one cell, the first predicted exactly: the last one counts, or the best."""
    spec = HeadSpec(V5, 1, (8.0,), (((16, 16),),))
    loss = variant(spec, Hyperparameters(obj=1.0), best_wins=best_wins)
    raw = torch.zeros(1, 1, 1, 1, 6)  # predicts centre (4, 4) and sides 16, 16
    targets = torch.tensor([[0, 0, -4.0, -4, 12, 12], [0, 0, 0, 0, 8, 8]])
    iou = (1.0, 0.25)[owner]
    _, items = loss([raw], targets, (8, 8))
    gain = loss.settings.gains[1] * loss.balance[0]
    assert items[1].item() == pytest.approx(
        gain * math.log(2), rel=1e-5
    )  # at logit 0 whatever the target
    raw = raw.clone().requires_grad_()
    loss([raw], targets, (8, 8))[0].backward()
    assert raw.grad[0, 0, 0, 0, 4].item() == pytest.approx(gain * (0.5 - iou), rel=1e-4)


def test_no_matching_target_leaves_only_objectness() -> None:
    loss, maps, _ = base()
    far = torch.tensor([[0, 0, 10.0, 10, 10.5, 10.5]])  # too small for every anchor
    items, empty = (loss(maps, rows, SIZE)[1] for rows in (far, torch.zeros(0, 6)))
    assert items.tolist() == empty.tolist()
    assert items[0] == items[2] == 0 < items[1]


def test_a_loss_can_be_learnt() -> None:
    loss, maps, targets = base()
    values = [raw.detach().clone().requires_grad_() for raw in maps]
    optimizer = torch.optim.Adam(values, lr=0.1)
    first = loss(values, targets, SIZE)[0].item()
    for _ in range(60):
        optimizer.zero_grad()
        total, _ = loss(values, targets, SIZE)
        total.backward()
        optimizer.step()
    assert total.item() < first / 5


def test_a_head_without_anchors_is_refused() -> None:
    with pytest.raises(UserError, match="no anchors"):
        build_loss(HeadSpec(V8, 3, (8.0, 16.0)), Hyperparameters(), 640, 0.0)
