"""The schedule against YOLOv5's own numbers; the groups against its counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from utils.config import Hyperparameters, TrainConfig
from utils.optim import Schedule, apply_rates, make_optimizer, parameter_groups

GOLDEN = Path(__file__).parents[1] / "golden" / "yolov5" / "schedule.npz"
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
    schedule = Schedule(config, hyp, batches)
    rates = [schedule.rates(iteration) for iteration in range(start * batches, epochs * batches)]
    golden = np.load(GOLDEN)
    np.testing.assert_allclose([rate.learning_rates for rate in rates], golden[f"{name}_lr"], atol=1e-9, rtol=0)
    np.testing.assert_allclose([rate.momentum for rate in rates], golden[f"{name}_momentum"], atol=1e-9, rtol=0)
    assert [rate.accumulate for rate in rates] == golden[f"{name}_accumulate"].round().tolist()
    assert schedule.warmup_iterations == golden[f"{name}_nw"]
    assert config.scaled_weight_decay(hyp) == pytest.approx(float(golden[f"{name}_wd"]), abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_steps_fall_where_golden_has_them(name: str) -> None:
    epochs, batches, batch_size, cosine, start = CASES[name]
    schedule = Schedule(TrainConfig(epochs=epochs, batch_size=batch_size, cos_lr=cosine), Hyperparameters(), batches)
    last, steps = -1, []
    for iteration in range(start * batches, epochs * batches):
        steps.append(iteration - last >= schedule.rates(iteration).accumulate)
        last = iteration if steps[-1] else last
    assert steps == np.load(GOLDEN)[f"{name}_step"].tolist()


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
    biases, decayed, undecayed = ({names[id(p)] for p in group} for group in parameter_groups(model))
    assert biases == {"conv.bias", "norm.bias", "group_norm.bias", "attention.out_proj.bias"}
    assert undecayed == {"norm.weight", "group_norm.weight", "cweight"}
    attention = {f"attention.{name}" for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight")}
    assert decayed == {"conv.weight", "table"} | attention


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_rates_reach_the_optimizer_and_only_weights_decay(kind: str) -> None:
    config, hyp = TrainConfig(optimizer=kind, batch_size=40), Hyperparameters()
    optimizer = make_optimizer(Scaled(), config, hyp)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, pytest.approx(0.000625), 0.0]
    apply_rates(optimizer, Schedule(config, hyp, 50).rates(30))
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates[0] > rates[1] == rates[2] > 0
    assert ("momentum" in optimizer.param_groups[0]) == (kind == "SGD")
    if kind == "SGD":
        assert 0.8 < optimizer.param_groups[0]["momentum"] < 0.937
