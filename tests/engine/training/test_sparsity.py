"""NAM's penalty: its gradient, its column, its table, and where it is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from engine.training.sparsity import Sparsity
from models.attention import build_attention
from utils.errors import UserError


def network() -> nn.Module:
    torch.manual_seed(0)
    both = build_attention("NAM", 4, spatial_shape=[3, 3])
    layers = nn.Sequential(build_attention("NAM", 4), nn.BatchNorm2d(4), both)
    with torch.no_grad():
        layers[0].Channel_Att.bn2.weight.copy_(torch.tensor([0.5, -2.0, 0.0, 1e-3]))
    return layers


def test_gradient_is_that_of_the_written_penalty() -> None:
    x = torch.randn(2, 4, 3, 3)
    one, other = network(), network()
    one(x).square().sum().backward()
    Sparsity(one, 0.3).add_gradients()
    scales = [
        other[0].Channel_Att.bn2.weight,
        other[2].Channel_Att.bn2.weight,
        other[2].Spatial_Att.bn.weight,
    ]
    (other(x).square().sum() + 0.3 * sum(scale.abs().sum() for scale in scales)).backward()
    for (key, first), second in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, msg=key)


def test_what_has_no_gradient_or_does_not_learn_is_left_alone() -> None:
    model = network()
    Sparsity(model, 0.3).add_gradients()
    assert all(parameter.grad is None for parameter in model.parameters())
    model[0].requires_grad_(False)
    assert len(Sparsity(model, 0.3).scales) == 2


def test_column() -> None:
    model = nn.Sequential(network()[0])
    assert Sparsity(model, 0.1).columns() == {"train/sparsity": pytest.approx(0.1 * 2.501)}
    assert Sparsity(model, 0).columns() == {}


def test_table_counts_scales_below_thresholds() -> None:
    lines = Sparsity(network(), 0.1).table().splitlines()
    assert lines[0].split()[-8:] == ["<", "0.0001", "<", "0.001", "<", "0.01", "<", "0.1"]
    assert lines[1].split() == ["0", "4", "1", "1", "2", "2"]
    assert lines[-1].split() == ["all", "17", "1", "1", "2", "2"]
    assert len({len(line) for line in lines}) == 1


def test_refused_without_scales() -> None:
    with pytest.raises(UserError, match=r"--sparsity 0.1: .*no NAM row"):
        Sparsity(nn.Conv2d(1, 1, 1), 0.1)
    assert Sparsity(nn.Conv2d(1, 1, 1), 0).table() == ""
    assert math.isclose(
        Sparsity(network(), 1.0).columns()["train/sparsity"], 2.501 + 4 + 9, rel_tol=1e-6
    )
