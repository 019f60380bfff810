"""EMA: golden values, a second calculation by the paper's steps, the hand-written pass, what is
refused.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from models.attention.ema import EMA
from models.attention.fast._blocks import image_runs
from models.attention.fast.ema import _Gate, _Sums, _sums, _windows
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("ema").check(EMA(32, factor=8), "official", size)


def steps(module: EMA, x: torch.Tensor) -> torch.Tensor:
    """The paper's figure box by box, with nothing shortened."""
    size = x.shape[2:]
    t = x.reshape(len(x) * module.factor, -1, *size)
    strips = torch.cat((t.mean(3, keepdim=True), t.mean(2, keepdim=True).transpose(2, 3)), 2)
    a, b = module.conv1x1(strips).sigmoid().split(list(size), 2)
    x1, x2 = module.gn(t * a * b.transpose(2, 3)), module.conv3x3(t)
    share1, share2 = (one.mean((2, 3), keepdim=True).softmax(1) for one in (x1, x2))
    return (t * (share1 * x2 + share2 * x1).sum(1, keepdim=True).sigmoid()).reshape(x.shape)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("channels", "size"), [(256, (16, 17)), (40, (40, 41)), (6, (1, 9)), (6, (9, 1)), (4, (2, 2))]
)
def test_the_shorter_way_is_the_same(
    channels: int, size: tuple[int, int], memory_format: Any
) -> None:
    module = EMA(channels, factor=None if channels > 6 else 2)
    torch.nn.init.normal_(module.gn.bias)
    torch.nn.init.normal_(module.gn.weight)
    module.double()  # gradients of parameters are sums of up to 10,000 terms
    x = (
        draws(5, 6, channels, *size)
        .double()
        .contiguous(memory_format=memory_format)
        .requires_grad_()
    )
    assert channels <= 6 or len(image_runs(x)) > 1
    weight, given = draws(7, *x.shape), (x, *module.parameters())
    found, expected = (
        (out, *torch.autograd.grad((out * weight).sum(), given))
        for out in (module(x), steps(module, x))
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert found[0].is_contiguous(memory_format=memory_format)
    assert found[1].is_contiguous(memory_format=memory_format)


def gates(members: int, groups: int, height: int, width: int) -> list[torch.Tensor]:
    shapes = (
        (groups, members, height),
        (groups, members, width),
        (members, 9),
        (groups, members),
        (groups,),
    )
    return [draws(seed, *shape).double().requires_grad_() for seed, shape in enumerate(shapes)]


def test_gradients_by_differences() -> None:
    x = draws(3, 2, 4, 3, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, *given: _Gate.apply(x, 1e-5, *given), (x, *gates(2, 4, 3, 2))
    )


def test_gradients_of_sums_by_differences() -> None:
    x = draws(3, 2, 4, 3, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _Sums.apply(x, 2), (x,))


@pytest.mark.parametrize("size", [(4, 5), (1, 3), (3, 1), (1, 1), (2, 2)])
def test_windows_are_sums_of_what_each_tap_meets(size: tuple[int, int]) -> None:
    x = draws(3, 2, 4, *size).double()
    expected = F.unfold(x.reshape(4, 2, *size), 3, padding=1).sum(2).view(4, 2, 3, 3)
    torch.testing.assert_close(_windows(*_sums(x, 2)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_type_of_the_input_is_kept(dtype: torch.dtype) -> None:
    module, x = EMA(32), draws(3, 2, 32, 9, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = x.to(dtype).requires_grad_()
        out = module(mixed)
        out.sum().backward()
    for found in (out, EMA.forward(module.to(dtype), x.to(dtype))):
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), module.float()(x), rtol=1e-2, atol=1e-2)
    assert mixed.grad is not None
    assert mixed.grad.isfinite().all()


@pytest.mark.parametrize(
    ("channels", "factor"), [(256, 32), (48, 24), (40, 20), (16, 16), (7, 7), (37, 1)]
)
def test_factor_when_none_is_given(channels: int, factor: int) -> None:
    assert EMA(channels).factor == factor


@pytest.mark.parametrize("factor", [0, -8, 7, 128, 2.5, "8", True])
def test_impossible_factors(factor: Any) -> None:
    with pytest.raises(ValueError, match=r"factor=.*such as 1, 2, 4"):
        EMA(64, factor=factor)
