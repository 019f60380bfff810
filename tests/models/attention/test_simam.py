"""SimAM: golden values, its limits, precision, memory, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention.fast.simam import _Blocked
from models.attention.simam import SimAM
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("official", "20x20"),
        ("official", "7x13"),
        ("fixed", "20x20"),
        ("fixed", "7x13"),
        ("fixed", "1x1"),
        ("lambda1e-2", "7x13"),
    ],
)
def test_golden(variant: str, size: str) -> None:
    golden = Golden("simam")
    golden.check(SimAM(32, **golden.meta["variants"][variant]["args"]), variant, size)


def test_flat_channels_and_single_positions_get_the_papers_limit() -> None:
    gate = torch.tensor(0.5).sigmoid()
    for shape in ((2, 3, 1, 1), (2, 3, 5, 5)):
        x = torch.full(shape, 3.0)
        torch.testing.assert_close(SimAM(3)(x), x * gate)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    x = (draws(3, 1, 4, 80, 80) * 6).to(dtype).requires_grad_()
    exact = x.detach().float().requires_grad_()
    out, expected = SimAM(4)(x), SimAM(4)(exact)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, rtol=1e-2, atol=1e-2)
    g = draws(4, *x.shape).to(dtype)
    (found,), (wanted,) = (
        torch.autograd.grad(out, x, g),
        torch.autograd.grad(expected, exact, g.float()),
    )
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=1e-2)


def plain(x: torch.Tensor, e_lambda: float) -> torch.Tensor:
    """The formula written down once more: equation 5 of the paper, inverted."""
    t_m = x - x.mean((2, 3), keepdim=True)
    variance = t_m.square().sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    energy = 4 * (variance + e_lambda) / (t_m.square() + 2 * variance + 2 * e_lambda)
    return x * (1 / energy).sigmoid()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_hand_written_gradients(memory_format: torch.memory_format) -> None:
    x = draws(5, 2, 2, 3, 4).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(_Blocked.apply(x, 1e-4), plain(x, 1e-4))
    assert torch.autograd.gradcheck(lambda x: _Blocked.apply(x, 1e-2), (x,))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_maps_of_several_blocks(memory_format: torch.memory_format) -> None:
    x = (draws(6, 3, 5, 330, 340) + 1).contiguous(memory_format=memory_format).requires_grad_()
    g = draws(7, *x.shape)
    found, expected = SimAM(5)(x), plain(x, 1e-4)
    assert found.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(
        found, expected, rtol=1e-5, atol=2e-5
    )  # float32 sums of 112200 squares
    wanted = torch.autograd.grad(expected, x, g)
    torch.testing.assert_close(torch.autograd.grad(found, x, g), wanted, rtol=1e-5, atol=2e-5)


def test_little_but_the_input_is_kept_for_backward() -> None:
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = draws(8, 2, 8, 20, 20).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        SimAM(8)(x)
    assert sum(kept.values()) <= 1.02 * x.nbytes


def test_slices_and_empty_batches() -> None:
    x = draws(9, 2, 6, 8, 9)[:, 1:4, ::2, 2:7]
    torch.testing.assert_close(SimAM(3)(x), plain(x, 1e-4))
    assert SimAM(3)(x[:0]).shape == (0, 3, 4, 5)


@pytest.mark.parametrize(
    "value", [0, -1e-4, float("nan"), float("inf"), "small", True, None, 8, 512]
)
def test_impossible_values(value: Any) -> None:
    with pytest.raises(ValueError, match="e_lambda="):
        SimAM(8, e_lambda=value)
