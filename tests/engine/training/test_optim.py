"""The schedule and `auto` against YOLOv5's and YOLOv8's own numbers; the groups against their
counts.
"""

from __future__ import annotations

import dataclasses
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.training.optim import (
    Schedule,
    apply_rates,
    auto_choice,
    choose_optimizer,
    make_optimizer,
    parameter_groups,
    restore_optimizer,
)
from models.attention import build_attention
from tests.simulated_cuda import simulate, simulated_cuda
from utils.config import TrainConfig
from utils.families import V5, V8
from utils.hyperparameters import Hyperparameters

GOLDEN = Path(__file__).parents[2] / "golden" / "yolov5" / "schedule.npz"
CASES = {
    "lin16": (5, 200, 16, False, 0),
    "cos16": (5, 200, 16, True, 0),
    "short": (10, 20, 16, False, 0),
    "bs128": (5, 40, 128, False, 0),
    "bs40": (4, 60, 40, True, 0),
    "resume3": (8, 30, 16, False, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_schedule_equals_golden(name: str) -> None:
    epochs, batches, batch_size, cosine, start = CASES[name]
    config = TrainConfig(epochs=epochs, batch_size=batch_size, cos_lr=cosine)
    hyp = Hyperparameters()
    schedule = Schedule(config, hyp, batches, V5)
    rates = [schedule.rates(iteration) for iteration in range(start * batches, epochs * batches)]
    golden = np.load(GOLDEN)
    np.testing.assert_allclose(
        [rate.learning_rates for rate in rates], golden[f"{name}_lr"], atol=1e-9, rtol=0
    )
    np.testing.assert_allclose(
        [rate.momentum for rate in rates], golden[f"{name}_momentum"], atol=1e-9, rtol=0
    )
    assert [rate.accumulate for rate in rates] == golden[f"{name}_accumulate"].round().tolist()
    assert schedule.warmup_iterations == golden[f"{name}_nw"]
    assert config.scaled_weight_decay(hyp) == pytest.approx(float(golden[f"{name}_wd"]), abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_steps_fall_where_golden_has_them(name: str) -> None:
    epochs, batches, batch_size, cosine, start = CASES[name]
    schedule = Schedule(
        TrainConfig(epochs=epochs, batch_size=batch_size, cos_lr=cosine),
        Hyperparameters(),
        batches,
        V5,
    )
    last, steps = -1, []
    for iteration in range(start * batches, epochs * batches):
        steps.append(iteration - last >= schedule.rates(iteration).accumulate)
        last = iteration if steps[-1] else last
    assert steps == np.load(GOLDEN)[f"{name}_step"].tolist()


RECIPE: dict[str, Any] = json.loads((GOLDEN.parents[1] / "yolov8" / "recipe.json").read_text())


def golden_run() -> tuple[Schedule, list[dict[str, Any]]]:
    """YOLOv8's 6 epochs of 3 batches, and what was seen after each batch."""
    config = TrainConfig(epochs=6, batch_size=4, close_mosaic=2)
    hyp = Hyperparameters.load("hyp.v8.yaml", {"nominal_batch": 16})
    return Schedule(config, hyp, 3, V8), RECIPE["schedule_run"]["per_batch"]


def test_schedule_of_v8_equals_golden() -> None:
    schedule, golden = golden_run()
    assert schedule.warmup_iterations == 9
    last, updates = -1, 0
    for iteration, wanted in enumerate(golden):
        rates = schedule.rates(iteration)
        groups = [wanted["lr"][name] for name in ("bias", "weight", "bn")]
        assert rates.learning_rates == pytest.approx(groups, abs=1e-12)
        assert rates.momentum == pytest.approx(wanted["momentum"], abs=1e-12)
        assert rates.accumulate == wanted["accumulate"]
        if iteration - last >= rates.accumulate:
            last, updates = iteration, updates + 1
        assert updates == wanted["ema_updates"]
    assert schedule.config.scaled_weight_decay(schedule.hyp) == pytest.approx(
        golden[-1]["wd"]["weight"], abs=1e-12
    )


def test_cosine_equals_v8s() -> None:
    schedule = Schedule(TrainConfig(epochs=100, cos_lr=True), Hyperparameters(), 10, V8)
    for epoch, factor in RECIPE["cos_lr_100_epochs"].items():
        assert schedule.decay_factor(int(epoch)) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(("epochs", "last"), [(1, 0), (2, 50), (3, 100), (4, 150), (100, 150)])
def test_warm_up_of_v8_ends_before_the_last_epoch(epochs: int, last: int) -> None:
    schedule = Schedule(TrainConfig(epochs=epochs), Hyperparameters.load("hyp.v8.yaml"), 50, V8)
    assert schedule.warmup_iterations == last
    rates = schedule.rates(last)
    assert rates.learning_rates == pytest.approx([0.01 * schedule.decay_factor(last // 50)] * 3)
    assert (rates.momentum, rates.accumulate) == (pytest.approx(0.937), 4)


@pytest.mark.parametrize(
    "case", RECIPE["optimizer_auto"], ids=lambda case: f"{case['nc']}-{case['iterations']}"
)
def test_auto_equals_golden(case: dict[str, Any]) -> None:
    choice = auto_choice(case["iterations"], case["nc"])
    group = (
        case["groups"][1] if case["optimizer"] == "MuSGD" else case["groups"][0]
    )  # the first has a rate of its own
    assert choice.optimizer == {"MuSGD": "SGD"}.get(case["optimizer"], case["optimizer"])
    assert choice.lr0 == case["lr"] == group["lr"]
    assert choice.momentum == (group["momentum"] if "momentum" in group else group["betas"][0])
    assert case["warmup_bias_lr"] == 0


def test_auto_is_resolved_and_said_once() -> None:
    config, hyp = (
        TrainConfig(optimizer="auto", epochs=100, batch_size=16),
        Hyperparameters.load("hyp.v8.yaml"),
    )
    chosen, changed, said = choose_optimizer(config, hyp, 640, 3)  # 10 steps an epoch
    assert (chosen.optimizer, changed.lr0, changed.momentum, changed.warmup_bias_lr) == (
        "AdamW",
        0.001429,
        0.9,
        0,
    )
    assert "AdamW, lr0 0.001429" in said
    assert "1000 steps are at most 10000, 3 classes" in said
    assert "\n" not in said
    group = make_optimizer(Scaled(), chosen, changed).param_groups[1]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (
        0.001429,
        (0.9, 0.999),
        pytest.approx(0.0005),
    )
    assert choose_optimizer(chosen, changed, 640, 3) == (chosen, changed, "")
    chosen, changed, said = choose_optimizer(config, hyp, 6401, 3)  # 101 steps an epoch
    assert (chosen.optimizer, changed.lr0, changed.momentum, changed.warmup_bias_lr) == (
        "SGD",
        0.01,
        0.937,
        0,
    )
    assert "SGD with Nesterov momentum (YOLOv8's MuSGD is not here)" in said
    assert make_optimizer(Scaled(), chosen, changed).param_groups[0]["nesterov"]


def test_a_large_batch_makes_fewer_steps() -> None:
    config = TrainConfig(optimizer="auto", epochs=100, batch_size=128)
    assert choose_optimizer(config, Hyperparameters(), 12800, 3)[0].optimizer == "AdamW"
    assert choose_optimizer(config, Hyperparameters(), 12801, 3)[0].optimizer == "SGD"


class Scaled(nn.Module):
    """A toy with every kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.group_norm = nn.GroupNorm(2, 4)
        self.attention = nn.MultiheadAttention(4, 1)
        self.cweight = nn.Parameter(torch.zeros(1, 4, 1, 1))
        self.table = nn.Parameter(torch.zeros(4, 4))


def test_groups_put_each_parameter_where_yolov5_does_but_bare_scales() -> None:
    model = Scaled()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    biases, decayed, undecayed = (
        {names[id(p)] for p in group} for group in parameter_groups(model)
    )
    assert biases == {"conv.bias", "norm.bias", "group_norm.bias", "attention.out_proj.bias"}
    assert undecayed == {"norm.weight", "group_norm.weight", "cweight"}
    attention = {
        f"attention.{name}" for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight")
    }
    assert decayed == {"conv.weight", "table"} | attention


class Attended(Scaled):
    """With attention that starts as the identity, beside the others and within a row."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = build_attention("CBAM", 16, init="identity")
        self.row = nn.Sequential(nn.Conv2d(4, 4, 1), build_attention("SE", 16))


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_attention_may_have_a_rate_of_its_own(kind: str) -> None:
    model, hyp = Attended(), Hyperparameters()
    config = TrainConfig(optimizer=kind, attention_lr=10.0)
    optimizer = make_optimizer(model, config, hyp)
    usual = make_optimizer(model, dataclasses.replace(config, attention_lr=1.0), hyp)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [{names[id(one)] for one in group["params"]} for group in optimizer.param_groups]
    own = set().union(*groups[3:])
    assert own == {name for name in names.values() if name.startswith(("gate.", "row.1."))}
    assert "gate.alpha" in groups[5]
    for number, group in enumerate(usual.param_groups):
        assert groups[number] | groups[number + 3] == {names[id(one)] for one in group["params"]}
        assert group["weight_decay"] == optimizer.param_groups[number + 3]["weight_decay"]
    schedule = Schedule(config, hyp, 50, V5)
    for iteration in (0, 30, 1000):
        for one in (optimizer, usual):
            apply_rates(one, schedule.rates(iteration))
        bias, rising, other = (group["lr"] for group in usual.param_groups)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            [bias, rising, other, bias + 9 * rising, 10 * rising, 10 * other]
        )
    again = make_optimizer(model, config, hyp)
    restore_optimizer(again, optimizer.state_dict())
    apply_rates(again, schedule.rates(30))
    rates = [group["lr"] for group in again.param_groups]
    assert rates[4] == pytest.approx(10 * rates[1])
    assert bias == rising  # after the warm-up, in which biases begin at warmup_bias_lr


def test_a_network_without_attention_trains_as_usual_at_any_such_rate() -> None:
    tracks = []
    for factor in (1.0, 10.0):
        torch.manual_seed(0)
        model, hyp = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), Hyperparameters()
        config = TrainConfig(optimizer="AdamW", attention_lr=factor)
        optimizer = make_optimizer(model, config, hyp)
        for iteration in range(3):
            apply_rates(optimizer, Schedule(config, hyp, 50, V5).rates(iteration + 1))
            optimizer.zero_grad()
            model(torch.ones(4, 3))[:, 0].sum().backward()
            optimizer.step()
        tracks.append([one.detach().clone() for one in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*tracks, strict=True))


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_rates_reach_the_optimizer_and_only_weights_decay(kind: str) -> None:
    config, hyp = TrainConfig(optimizer=kind, batch_size=40), Hyperparameters()
    optimizer = make_optimizer(Scaled(), config, hyp)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [
        0.0,
        pytest.approx(0.000625),
        0.0,
    ]
    apply_rates(optimizer, Schedule(config, hyp, 50, V5).rates(30))
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates[0] > rates[1] == rates[2] > 0
    assert ("momentum" in optimizer.param_groups[0]) == (kind == "SGD")
    if kind == "SGD":
        assert 0.8 < optimizer.param_groups[0]["momentum"] < 0.937


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_a_state_goes_on_in_the_form_of_the_present_device(name: str) -> None:
    """Each device resumes the other's run, and a run that a release before 0.9 began."""
    torch.manual_seed(0)
    config, x = TrainConfig(optimizer=name), torch.randn(4, 3)

    def prepared(net: nn.Module, saved: dict[str, Any] | None = None) -> torch.optim.Optimizer:
        optimizer = make_optimizer(net, config, Hyperparameters())
        if saved:
            restore_optimizer(optimizer, saved)
        net(x.to(next(net.parameters()).device)).square().sum().backward()
        optimizer.step()
        return optimizer

    first = nn.Linear(3, 2)
    saved = prepared(first).state_dict()
    here, there = deepcopy(first), deepcopy(first)
    with simulated_cuda():
        moved = prepared(simulate(there), saved)
        back = moved.state_dict()
    group, state = moved.param_groups[1], moved.state[there.weight]
    assert (group["fused"], group.get("foreach")) == (True, None)
    assert all(value.is_cuda for value in state.values())
    prepared(here, saved)
    torch.testing.assert_close(there.weight.held, here.weight.data)
    # What the device saved goes on here.
    for part in back["state"].values():
        part.update({key: value.held for key, value in part.items()})
    assert prepared(here, back).param_groups[1]["fused"]
    for part in saved["param_groups"]:
        part.update(foreach=True, fused=None)
    group = prepared(here, saved).param_groups[1]
    assert (group["fused"], group.get("foreach")) == (True, None)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_one_kernel_computes_what_several_do(name: str) -> None:
    tracks = []
    for options in ({"fused": True}, {"foreach": True, "fused": None}):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(33, 20), nn.Linear(20, 1))
        optimizer = make_optimizer(net, TrainConfig(optimizer=name), Hyperparameters())
        for group in optimizer.param_groups:
            group.update(options)
        for _ in range(5):
            optimizer.zero_grad()
            net(torch.randn(4, 33)).square().mean().backward()
            optimizer.step()
        tracks.append([one.detach() for one in net.parameters()])
    torch.testing.assert_close(tracks[0], tracks[1], rtol=1e-6, atol=1e-7)
