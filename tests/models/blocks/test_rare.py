"""The rarer blocks: shapes, arithmetic that has a closed form, gradients of every parameter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.blocks import ghost, rare

BLOCKS = [
    (ghost.GhostConv(8, 16, 3, 2), (16, 4, 4)),
    (ghost.GhostBottleneck(8, 16, 3, 2), (16, 4, 4)),
    (ghost.GhostBottleneck(8, 8), (8, 8, 8)),
    (ghost.C3Ghost(8, 16, 2, False), (16, 8, 8)),
    (rare.CrossConv(8, 16, 3, 2), (16, 4, 4)),
    (rare.C3x(8, 16, 2), (16, 8, 8)),
    (rare.SPP(8, 16, (3, 5)), (16, 8, 8)),
    (rare.C3SPP(8, 16), (16, 8, 8)),
    (rare.TransformerBlock(8, 16, 4, 2), (16, 8, 8)),
    (rare.C3TR(8, 16, 1), (16, 8, 8)),
    (rare.BottleneckCSP(8, 16, 2), (16, 8, 8)),
    (rare.MixConv2d(8, 16, (1, 3), 2), (16, 4, 4)),
    (rare.MixConv2d(8, 16, (1, 3, 5), 1, False), (16, 8, 8)),
    (rare.Focus(8, 16, 3), (16, 4, 4)),
    (rare.DWConvTranspose2d(8, 8, 2, 2), (8, 16, 16)),
    (rare.Contract(2), (32, 4, 4)),
    (rare.Expand(2), (2, 16, 16)),
]


@pytest.mark.parametrize(
    ("block", "shape"), BLOCKS, ids=[type(block).__name__ for block, _ in BLOCKS]
)
def test_shape_and_gradients(block: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(2, 8, 8, 8, requires_grad=True)
    out = block(x)
    assert out.shape == (2, *shape)
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_focus_takes_row_offsets_first() -> None:
    block = rare.Focus(1, 4)
    block.conv = nn.Identity()  # type: ignore[assignment]
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert block(x)[0, :, 0, 0].tolist() == [0, 4, 1, 5]


def test_expand_undoes_contract() -> None:
    x = torch.randn(2, 3, 8, 12)
    small = rare.Contract(2)(x)
    assert small.shape == (2, 12, 4, 6)
    assert torch.equal(rare.Expand(2)(small), x)
    assert torch.equal(small[:, 0], x[:, 0, ::2, ::2])


def test_ghost_doubles_channels_with_a_depthwise_convolution() -> None:
    block = ghost.GhostConv(8, 16).eval()
    x = torch.randn(1, 8, 6, 6)
    out = block(x)
    assert block.cv2.conv.groups == 8
    torch.testing.assert_close(out[:, 8:], block.cv2(out[:, :8]))


def test_transformer_keeps_places() -> None:
    """Tokens are the map's positions: permuting them permutes the output alike."""
    block = rare.TransformerBlock(8, 8, 4, 1).eval()
    x = torch.randn(1, 8, 4, 5)
    torch.testing.assert_close(block(x.flip(3)).flip(3), block(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("equal", "widths"), [(True, [8, 8]), (False, [14, 2])])
def test_mixconv_shares_channels_or_weights(equal: bool, widths: list[int]) -> None:
    block = rare.MixConv2d(16, 16, (1, 3), 1, equal)
    assert [conv.weight.shape[0] for conv in block.m] == widths  # type: ignore[union-attr]
