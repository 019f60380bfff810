"""DANet's two attentions: golden values, the formulas position by position, and their start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.attention._registry import ATTENTION
from models.attention.danet import ChannelAttention, PositionAttention
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("danet")
KINDS = [PositionAttention, ChannelAttention]
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def positions(module: PositionAttention, x: Tensor) -> Tensor:
    """The formula for positions, one position at a time."""
    q, k, v = (
        torch.einsum("oc,bcm->bom", conv.weight[:, :, 0, 0], x.flatten(2)) + conv.bias[:, None]
        for conv in (module.query_conv, module.key_conv, module.value_conv)
    )
    out = []
    for i in range(q.shape[2]):
        scores = (q[:, :, i, None] * k).sum(1)  # [B, M]
        shares = torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)
        out.append((shares[:, None] * v).sum(2))
    return module.gamma * torch.stack(out, 2).view(x.shape) + x


def channels(module: ChannelAttention, x: Tensor) -> Tensor:
    """The formula for channels, one channel at a time, with the authors' difference to the
    maximum.
    """
    pixels, out = x.flatten(2), []
    for c in range(x.shape[1]):
        products = (pixels[:, c, None] * pixels).sum(2)  # [B, C]
        scores = torch.exp(products.amax(1, keepdim=True) - products)
        shares = scores / scores.sum(1, keepdim=True)
        out.append((shares[:, :, None] * pixels).sum(1))
    return module.gamma * torch.stack(out, 1).view(x.shape) + x


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden_of_positions(size: str) -> None:
    GOLDEN.check(PositionAttention(32), "position", size)


@pytest.mark.parametrize("size", ["20x20", "7x13"])
def test_golden_of_channels(size: str) -> None:
    GOLDEN.check(ChannelAttention(32), "channel", size)


@LAYOUTS
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (1, 1)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(
    kind: type[PositionAttention | ChannelAttention],
    size: tuple[int, int],
    layout: torch.memory_format,
) -> None:
    module = kind(12).double()
    module.gamma.data.fill_(0.7)
    listing = positions if kind is PositionAttention else channels
    x = (draws(5, 3, 12, *size).double() / 2).contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@LAYOUTS
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_module_changes_nothing(
    kind: type[PositionAttention | ChannelAttention], layout: torch.memory_format
) -> None:
    x = draws(2, 2, 32, 5, 6).contiguous(memory_format=layout)
    out = kind(32)(x)
    assert torch.equal(out, x)
    assert out.is_contiguous(memory_format=layout)


def test_products_of_channels_keep_their_digits_in_half_precision() -> None:
    """At 80 x 80 positions float16 overflows, and bfloat16 would choose other channels."""
    module, x = ChannelAttention(8), 6 * draws(1, 1, 8, 80, 80)
    module.gamma.data.fill_(1.0)
    for dtype in (torch.float16, torch.bfloat16):
        rounded = x.to(dtype)
        torch.testing.assert_close(
            module(rounded).float(), module(rounded.float()), rtol=0, atol=0.2
        )
        with torch.autocast("cpu", dtype):
            out = module(x)
        torch.testing.assert_close(out, module(x), rtol=0, atol=0.2)


def test_few_channels_have_one_for_queries_and_keys() -> None:
    module, x = PositionAttention(4), draws(1, 2, 4, 3, 5)
    assert module.query_conv.out_channels == module.key_conv.out_channels == 1
    assert module(x).shape == x.shape


@pytest.mark.parametrize(
    ("kind", "parameters"), [(PositionAttention, 82_241), (ChannelAttention, 1)]
)
def test_parameters_at_256(
    kind: type[PositionAttention | ChannelAttention], parameters: int
) -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in kind(256).parameters()) == parameters


def test_names_that_mean_something_else_are_not_taken() -> None:
    """CAM is a block of context augmentation elsewhere, and DANet a head with both attentions."""
    assert ATTENTION["PAM_Module"] is ATTENTION["PAM"] is PositionAttention
    assert ATTENTION["CAM_Module"] is ChannelAttention
    assert not {"CAM", "DANet", "DAModule", "SpatialAttention"} & set(ATTENTION)
