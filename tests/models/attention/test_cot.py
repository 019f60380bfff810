"""CoT and CoTAttention: golden values, plain calculations with other windows, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention.cot import CoT, CoTAttention
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("cot")
# The bias before a batch norm over the two images has no gradient. What rounding leaves of it is
# measured by the gradient of the weight beside it; a plain listing leaves as much.
GOLDEN.floors["se.0.bias"] = 44.0
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


@pytest.mark.parametrize("size", ["10x10", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(CoT(32), "official", size)


def test_golden_of_public_code() -> None:
    GOLDEN.check(CoTAttention(32), "ea", "7x13")


def window(x: Tensor, kernel_size: int) -> Tensor:
    """[B, C, H, W] -> [B, C, k^2, H, W]: each position's window, zero outside."""
    found = F.unfold(x, kernel_size, padding=kernel_size // 2)
    return found.unflatten(1, (x.shape[1], -1)).unflatten(3, x.shape[2:])


def listing(module: CoT, x: Tensor) -> Tensor:
    """The formula with every window written out."""
    channels, taps = x.shape[1], module.kernel_size**2
    key = module.key_embed(x)
    weights = module.embed(torch.cat((x, key), 1)).unflatten(1, (-1, taps))
    windows = window(module.conv1x1(x), module.kernel_size)
    per_channel = torch.stack([weights[:, c % (channels // 8)] for c in range(channels)], 1)
    y = F.silu(module.bn((windows * per_channel).sum(2)))
    votes = module.se((y + key).mean((2, 3), keepdim=True))
    share = votes[:, 0::2].exp() / (votes[:, 0::2].exp() + votes[:, 1::2].exp())
    return y * share + key * (1 - share)


def public_listing(module: CoTAttention, x: Tensor) -> Tensor:
    """The formula with k^2 logits for each channel and position."""
    key = module.key_embed(x)
    logits = module.attention_embed(torch.cat((key, x), 1))
    logits = logits.unflatten(1, (x.shape[1], -1)).mean(2)
    share = logits.exp() / logits.exp().sum((2, 3), keepdim=True)
    return key + module.value_embed(x) * share


@LAYOUTS
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_plain_calculations(layout: torch.memory_format, kernel_size: int) -> None:
    pairs: list[tuple[Any, Any]] = [
        (CoT(16, kernel_size=kernel_size), listing),
        (CoTAttention(12, kernel_size=kernel_size), public_listing),
    ]
    for module, plain in pairs:
        module = module.double()
        channels = module.key_embed[0].in_channels
        x = draws(1, 3, channels, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
        torch.testing.assert_close(module(x), plain(module, x))
        assert_same_gradients(module, plain, x, layout)


def test_windows_are_never_copied() -> None:
    """The shifted products keep the padded map and the weights, not k^2 maps."""
    module, kept = CoT(16), dict[int, int]()
    values, weights = draws(1, 2, 16, 30, 30), draws(2, 2, 18, 30, 30)

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module.sum_neighbours(values.requires_grad_(), weights.requires_grad_())
    assert sum(kept.values()) == 4 * (2 * 16 * 32 * 32 + weights.numel())


@pytest.mark.parametrize(("kind", "parameters"), [(CoT, 417_248), (CoTAttention, 577_024)])
def test_parameters_at_256(kind: Any, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in kind(256).parameters()) == parameters


@pytest.mark.parametrize(("kind", "channels", "factor"), [(CoT, 12, 8), (CoTAttention, 10, 4)])
def test_channels_that_do_not_fit(kind: Any, channels: int, factor: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of {factor} channels, but gets {channels}"):
        kind(channels)


@pytest.mark.parametrize("kind", [CoT, CoTAttention])
@pytest.mark.parametrize("kernel_size", [0, 2, 3.0, "3", None, [3]])
def test_impossible_kernels(kind: Any, kernel_size: Any) -> None:
    with pytest.raises(ValueError, match="kernel_size="):
        kind(16, kernel_size=kernel_size)
