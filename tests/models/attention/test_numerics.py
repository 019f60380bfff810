"""The type of statistics, and batch norm of a single value."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.attention._numerics import apply_batch_norm, wide
from tests.models.attention.golden import draws


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_statistics_are_float32_at_least(given: torch.dtype, expected: torch.dtype) -> None:
    assert wide(given) == expected


def test_one_value_is_normalised_by_running_statistics() -> None:
    norm = nn.BatchNorm2d(3)
    norm.running_mean, norm.running_var = draws(9, 3), draws(10, 3).abs() + 0.5
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = draws(11, 1, 3, 1, 1)
    out = apply_batch_norm(norm, x)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    torch.testing.assert_close(out, norm.eval()(x))
    several = draws(12, 2, 3, 1, 1)
    torch.testing.assert_close(apply_batch_norm(norm.train(), several), nn.BatchNorm2d(3)(several))
    assert norm.num_batches_tracked == 1
