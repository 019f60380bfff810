"""Our blocks under the public constructors: sizes, attributes, values."""

from __future__ import annotations

import torch
from torch import Tensor

from models.attention.cbam import CBAM
from models.blocks.v8 import Attention, WideBottleneck
from models.blocks.v12 import A2C2f
from models.forks import blocks
from models.heads.anchor_free import DFL

X = torch.rand(2, 64, 6, 6, generator=torch.Generator().manual_seed(0))


def same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    """Both compute the same from the same weights."""
    one.load_state_dict(other.state_dict())
    torch.testing.assert_close(one.eval()(X), other.eval()(X))


def test_bottlenecks() -> None:
    same(blocks.WideForkBottleneck(64, 64), WideBottleneck(64, 64))
    wide = blocks.WideForkBottleneck(64, 32, k=(5, 1), e=1.0, g=2)
    assert [one.conv.kernel_size for one in (wide.cv1, wide.cv2)] == [(5, 5), (1, 1)]
    assert (wide.cv1.conv.out_channels, wide.cv2.conv.groups, wide.add) == (32, 2, False)
    v5 = blocks.WideForkBottleneck(64, 64, True, 1, 0.25)
    assert [one.conv.kernel_size for one in (v5.cv1, v5.cv2)] == [(1, 1), (3, 3)]
    assert v5.cv1.conv.out_channels == 16
    plain = blocks.WideForkBottleneck(64, 64, shortcut=False).eval()
    torch.testing.assert_close(plain(X), plain.cv2(plain.cv1(X)))
    assert blocks.ForkC3k(64, 64, 2, k=5).m[1].cv2.conv.kernel_size == (5, 5)  # type: ignore[union-attr, index, operator]


def test_attention() -> None:
    same(blocks.ForkAttention(64, 4), Attention(64, 4))
    narrow = blocks.ForkAttention(64, num_heads=2, attn_ratio=0.25)
    assert (narrow.num_heads, narrow.head_dim, narrow.key_dim) == (2, 32, 8)
    assert narrow.scale == 8**-0.5
    assert narrow(X).shape == X.shape
    assert blocks.ForkAttention(32, num_heads=0).num_heads == 1
    block = blocks.ForkPSABlock(64, 0.5, 4, shortcut=False).eval()
    torch.testing.assert_close(block(X), block.ffn(block.attn(X)))
    assert not torch.allclose(blocks.ForkPSABlock(64).eval()(X), X)


def test_area_attention() -> None:
    assert blocks.ForkAAttn(64, 2, 4).area == 4
    assert blocks.ForkAAttn(64, 2).head_dim == 32
    assert blocks.ForkABlock(64, 2, 2.0, 4)(X).shape == X.shape
    same(
        blocks.ForkA2C2f(64, 64, 1, True, 4, True, 1.5, 0.5, 1, True),
        A2C2f(64, 64, 1, True, 4, True, 1.5, 0.5),
    )
    assert blocks.ForkA2C2f(64, 64, n=2, a2=False, e=0.25).cv1.conv.out_channels == 16


def test_cbam_of_ultralytics_and_of_the_paper() -> None:
    mine = blocks.ForkCBAM(64, 7).eval()
    ours = CBAM(64, formula="ultralytics", kernel_size=7).eval()
    state: dict[str, Tensor] = {
        "channel_attention.fc.weight": mine.channel_attention.fc.weight[:, :, 0, 0],
        "channel_attention.fc.bias": mine.channel_attention.fc.bias,  # type: ignore[dict-item]
    }
    with torch.no_grad():  # the order of the two maps differs
        kernel = mine.spatial_attention.cv1.weight.flip(1)
    ours.load_state_dict({**state, "spatial_attention.conv.weight": kernel})
    torch.testing.assert_close(mine(X), ours(X))
    for options, hidden in (((), 4), ((64, 16, 7), 4), ((8,), 8), ((32, 3), 2), ((3,), 4)):
        gate = blocks.PaperCBAM(64, *options).channel_attention
        assert gate.fc1.out_features == hidden  # type: ignore[union-attr]


def test_dfl() -> None:
    logits = torch.rand(2, 4 * 16, 5)
    expected = DFL(16)(logits.view(2, 4, 16, 5).transpose(2, 3))
    torch.testing.assert_close(blocks.ForkDFL(16)(logits), expected)
