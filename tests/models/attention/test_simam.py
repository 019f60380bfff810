"""SimAM: golden values, its limits, precision, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.attention.simam import SimAM
from utils.files import ROOT

GOLDEN = np.load(ROOT / "tests" / "golden" / "attention" / "simam.npz")


def draws(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32))


def assert_golden(found: torch.Tensor, key: str) -> None:
    """Compare with a stored array, or with its sample and sums."""
    values = found.detach().numpy()
    if key in GOLDEN:
        np.testing.assert_allclose(values, GOLDEN[key], rtol=1e-5, atol=1e-5)
        return
    sample = next(name for name in GOLDEN.files if name.startswith(f"{key}@sample"))
    step = int(sample.rpartition("sample")[2])
    np.testing.assert_allclose(values.ravel()[::step], GOLDEN[sample], rtol=1e-5, atol=1e-5)
    wide = values.astype(np.float64)
    np.testing.assert_allclose(
        [wide.sum(), abs(wide).sum(), (wide**2).sum()], GOLDEN[f"{key}@stats"], rtol=1e-5, atol=1e-3
    )


@pytest.mark.parametrize(
    ("variant", "height", "width"),
    [
        ("official", 20, 20),
        ("official", 7, 13),
        ("fixed", 20, 20),
        ("fixed", 7, 13),
        ("fixed", 1, 1),
        ("lambda1e-2", 7, 13),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_golden(variant: str, height: int, width: int, memory_format: torch.memory_format) -> None:
    module = SimAM(32, e_lambda=1e-2 if variant == "lambda1e-2" else 1e-4)
    x = draws(7, 2, 32, height, width).contiguous(memory_format=memory_format).requires_grad_()
    out = module(x)
    (out * draws(11, *out.shape)).sum().backward()
    key = f"{variant}/{height}x{width}"
    assert_golden(out, f"{key}/train")
    assert_golden(module.eval()(x), f"{key}/eval")
    assert x.grad is not None
    assert_golden(x.grad, f"{key}/gradx")


def test_flat_channels_and_single_positions_get_the_papers_limit() -> None:
    gate = 1 / (1 + np.exp(-0.5))
    for shape in ((2, 3, 1, 1), (2, 3, 5, 5)):
        x = torch.full(shape, 3.0)
        torch.testing.assert_close(SimAM(3)(x), x * gate)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    x = draws(3, 1, 4, 80, 80) * 6
    out = SimAM(4)(x.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), SimAM(4)(x), rtol=2e-2, atol=2e-2)


def test_gradient_by_differences() -> None:
    x = draws(5, 2, 2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(SimAM(2), (x,))


@pytest.mark.parametrize("value", [0, -1e-4, float("nan"), float("inf"), "small", True, None, 8, 512])
def test_impossible_values(value: Any) -> None:
    with pytest.raises(ValueError, match="e_lambda="):
        SimAM(8, e_lambda=value)
