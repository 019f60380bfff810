"""C2f, C3k2, C2PSA: definitions, memory formats, residuals.

Golden maps of single rows are in test_yolo_v8.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.blocks.v8 import C2, C2PSA, Attention, C2f, C3k, C3k2, PSABlock, WideBottleneck

FORMATS = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
BLOCKS = [
    lambda: C2(16, 24, 2),
    lambda: C2f(16, 24, 2, True),
    lambda: C3k(16, 24, 2),
    lambda: C3k2(16, 24, 2),
    lambda: C3k2(16, 24, 2, True),
    lambda: C2PSA(128, 128, 2),
]


@FORMATS
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_blocks_keep_size_and_format(number: int, memory_format: torch.memory_format) -> None:
    block = BLOCKS[number]().eval().to(memory_format=memory_format)
    width = next(block.parameters()).shape[1]
    x = torch.randn(2, width, 6, 10).contiguous(memory_format=memory_format)
    with torch.no_grad():
        out = block(x)
        other = block(x.contiguous(memory_format=torch.contiguous_format))
    assert out.shape == (2, 24 if width == 16 else 128, 6, 10)
    assert out.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(out, other, rtol=1e-4, atol=1e-5)


def test_shortcut_is_off_in_c2f_and_on_in_c3k2() -> None:
    inner = [
        C2f(8, 16).m[0],
        C2f(8, 16, 1, True).m[0],
        C3k2(8, 16).m[0],
        C3k2(8, 16, 1, False, 0.5, 1, False).m[0],
    ]
    assert [block.residual for block in inner] == [False, True, True, False]


def test_c2f_joins_both_halves_and_every_link() -> None:
    block = C2f(4, 8, 2).eval()
    x = torch.randn(1, 4, 3, 3)
    first, second = block.cv1(x).chunk(2, 1)
    third = block.m[0](second)
    expected = block.cv2(torch.cat((first, second, third, block.m[1](third)), 1))
    assert torch.equal(block(x), expected)


def test_inner_widths() -> None:
    wide, narrow = C2f(64, 64, 1).m[0], C3k2(64, 64, 1).m[0]
    assert isinstance(wide, WideBottleneck)
    assert isinstance(narrow, WideBottleneck)
    assert (wide.cv1.conv.out_channels, narrow.cv1.conv.out_channels) == (32, 16)
    deep = C3k2(64, 64, 1, True).m[0]
    assert isinstance(deep, C3k)
    assert isinstance(deep.m, nn.Sequential)
    assert len(deep.m) == 2


@FORMATS
@torch.no_grad()
def test_attention_equals_the_formula_head_by_head(memory_format: torch.memory_format) -> None:
    attention = Attention(128, 2).eval().to(memory_format=memory_format)
    x = torch.randn(2, 128, 3, 5).contiguous(memory_format=memory_format)
    mixed = attention.qkv(x).reshape(2, 2, 128, 15)
    outs, values = [], []
    for head in range(2):
        q, k, v = mixed[:, head, :32], mixed[:, head, 32:64], mixed[:, head, 64:]
        weights = torch.softmax(torch.einsum("bdi,bdj->bij", q, k) / 32**0.5, 2)
        outs.append(torch.einsum("bdj,bij->bdi", v, weights))
        values.append(v)
    joined, value = (torch.cat(parts, 1).reshape(2, 128, 3, 5) for parts in (outs, values))
    torch.testing.assert_close(
        attention(x), attention.proj(joined + attention.pe(value)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_has_the_gradients_of_a_single_image(heads: int) -> None:
    """PyTorch's batch norm on a CPU misreads some layouts of the gradient of a single image."""
    attention, x, weights = Attention(32, heads).eval(), *torch.randn(2, 1, 32, 6, 10)
    found = torch.autograd.grad((attention(x) * weights).sum(), attention.parameters())
    pair = torch.autograd.grad(
        (attention(torch.cat((x, x)))[:1] * weights).sum(), attention.parameters()
    )
    torch.testing.assert_close(found, pair, rtol=1e-4, atol=1e-4)


def test_psa_block_has_two_residuals() -> None:
    block = PSABlock(64, 1).eval()
    for conv in (block.attn.proj, block.ffn[1]):
        nn.init.zeros_(conv.bn.weight)  # type: ignore[union-attr, arg-type]
    x = torch.randn(1, 64, 4, 4)
    assert torch.equal(block(x), x)
    assert C2PSA(32, 32).m[0].attn.heads == 1  # type: ignore[union-attr]
    assert C2PSA(256, 256).m[0].attn.heads == 2  # type: ignore[union-attr]


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="gets 32 and should give 64"):
        C2PSA(32, 64)
