"""The weight's gradient in strips is that of the whole map, and who gets it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models import weight_gradient
from models.weight_gradient import convolve, is_slow


@pytest.fixture(autouse=True)
def _old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as on a processor with AVX2, in strips of two rows or so, on maps of any size."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(weight_gradient, "LARGE", 0)
    monkeypatch.setattr(weight_gradient, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(weight_gradient, "STRIP", 300)


def last(*shape: int) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def made(kernel: int = 3, stride: int = 1, padding: int = 1, **options: object) -> nn.Conv2d:
    conv = nn.Conv2d(4, 6, kernel, stride, padding, bias=False, **options)  # type: ignore[arg-type]
    return conv.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (6, 2, 2), (3, 3, 0), (5, 1, 0)]
)
@pytest.mark.parametrize("height", [9, 12])
def test_strips_sum_to_the_gradient(kernel: int, stride: int, padding: int, height: int) -> None:
    conv, x = made(kernel, stride, padding), last(2, 4, height, 11).requires_grad_()
    assert is_slow(conv, x)
    out = conv(x)
    grad = torch.randn_like(out)
    expected = torch.autograd.grad(out, (x, conv.weight), grad)
    strips = convolve(conv, x)
    assert strips.grad_fn is not None
    assert type(strips.grad_fn).__name__ == "_ConvolveBackward"
    torch.testing.assert_close(strips, out, rtol=0, atol=0)
    found = torch.autograd.grad(strips, (x, conv.weight), grad)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_who_keeps_the_gradient_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    x = last(2, 4, 9, 9)
    assert is_slow(made(), x)
    assert not is_slow(made(), x.contiguous())
    assert not is_slow(made(), x.bfloat16())
    assert not is_slow(made(1), x)
    assert not is_slow(made(groups=2), x)
    assert not is_slow(made(dilation=2), x)
    assert not is_slow(made(padding_mode="reflect"), x)
    assert not is_slow(nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), x)
    assert not is_slow(made().requires_grad_(False), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_slow(made(), x)
    monkeypatch.setattr(weight_gradient, "LARGE", 10**9)
    assert not is_slow(made(), x)
    monkeypatch.setattr(weight_gradient, "LARGE", 0)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not is_slow(made(), x)
