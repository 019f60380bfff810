"""Batch norm and SiLU in one: the values, gradients and statistics of the two modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from models import norm_silu
from models.activations import SiLU
from models.common import Conv
from models.costs.modules import bytes_kept_by
from models.norm_silu import fits, norm_act
from tests.models.attention.plain import never


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small maps take the fast form, in parts that do not divide them."""
    monkeypatch.setattr(norm_silu, "LEAST", 1)
    monkeypatch.setattr(norm_silu, "PART", 100)


def last(*shape: int) -> Tensor:
    return (2 * torch.randn(shape) + 1).contiguous(memory_format=torch.channels_last)


def made_norm(channels: int = 6) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def passed(norm: nn.BatchNorm2d, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, gradients and buffers of one step of norm_act."""
    norm, x = copy.deepcopy(norm), x.clone().requires_grad_()
    out = norm_act(norm, SiLU(), x)
    out.backward(grad)
    found = [x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    return [out.detach(), *(one for one in found if one is not None), norm.num_batches_tracked]


@pytest.mark.parametrize("grad_layout", [torch.channels_last, torch.contiguous_format])
def test_one_step_is_that_of_the_two_modules(
    monkeypatch: pytest.MonkeyPatch, grad_layout: torch.memory_format
) -> None:
    norm, x = made_norm(), last(3, 6, 5, 7)
    grad = torch.randn(x.shape).contiguous(memory_format=grad_layout)
    assert fits(norm, SiLU(), x)
    fast = passed(norm, x, grad)
    monkeypatch.setattr(norm_silu, "use_fast", never)
    plain = passed(norm, x, grad)
    assert len(plain) == 7
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    for index in (0, 4, 5, 6):  # the output and the statistics
        assert torch.equal(fast[index], plain[index])


def test_a_constant_channel_has_the_gradient_of_the_plain_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    norm, x, grad = made_norm(2), last(2, 2, 4, 4), last(2, 2, 4, 4)
    x[:, 0] = 3.0
    fast = passed(norm, x, grad)
    monkeypatch.setattr(norm_silu, "use_fast", never)
    for one, other in zip(fast, passed(norm, x, grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_only_the_input_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = Conv(4, 16, 3).to(memory_format=torch.channels_last), last(2, 4, 16, 16)
    kept, one_map = bytes_kept_by(block, x), 4 * 2 * 16 * 16 * 16
    monkeypatch.setattr(norm_silu, "use_fast", never)
    assert bytes_kept_by(block, x) - kept > 0.9 * one_map


def test_who_takes_the_plain_form() -> None:
    norm, act, x = made_norm(), SiLU(), last(2, 6, 4, 4)
    assert fits(norm, act, x)
    assert not fits(copy.deepcopy(norm).eval(), act, x)
    assert not fits(norm, nn.ReLU(), x)
    assert not fits(nn.SyncBatchNorm(6), act, x)  # type: ignore[arg-type]
    assert not fits(nn.BatchNorm2d(6, momentum=None), act, x)
    assert not fits(nn.BatchNorm2d(6, track_running_stats=False), act, x)
    assert not fits(nn.BatchNorm2d(6, affine=False), act, x)
    assert not fits(norm, act, x.contiguous())
    assert not fits(norm, act, x.bfloat16())
    assert not fits(norm, act, x.to("meta"))
    norm.register_forward_hook(lambda *_: None)
    assert not fits(norm, act, x)


def test_a_small_map_takes_the_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    x = last(2, 6, 4, 4)
    monkeypatch.setattr(norm_silu, "LEAST", x.numel() + 1)
    assert not fits(made_norm(), SiLU(), x)
