"""A2C2f: golden values of both links, its residual, memory formats."""

from __future__ import annotations

import pytest
import torch

from models.blocks.v12 import A2C2f
from tests.models.attention.golden import Golden

GOLDEN = Golden("area")


@pytest.mark.parametrize("size", ["8x8", "6x10"])
def test_golden_of_area_attention(size: str) -> None:
    GOLDEN.check(A2C2f(64, 64, 1, True, 4), "a2c2f", size)


def test_golden_of_bottlenecks() -> None:
    GOLDEN.check(A2C2f(64, 64, 1, False, -1), "a2c2f_c3k", "6x7")


@torch.no_grad()
def test_the_residual_starts_at_a_hundredth_of_the_block() -> None:
    torch.manual_seed(0)
    block, x = A2C2f(64, 64, 2, True, 1, True, 1.2).eval(), torch.randn(2, 64, 6, 10)
    plain = A2C2f(64, 64, 2, True, 1, False, 1.2).eval()
    state = block.state_dict()
    assert torch.equal(state.pop("gamma"), torch.full((64,), 0.01))
    plain.load_state_dict(state)
    torch.testing.assert_close(block(x), x + 0.01 * plain(x))
    assert block.gamma is not None
    block.gamma[3:] = 0
    assert torch.equal(block(x)[:, 3:], x[:, 3:])
    with pytest.raises(ValueError, match="adds its input, but gets 32"):
        A2C2f(32, 64, residual=True)
    assert A2C2f(32, 64, a2=False, residual=True).gamma is None


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_memory_formats(memory_format: torch.memory_format) -> None:
    block = A2C2f(16, 64, 2, area=4).eval().to(memory_format=memory_format)
    x = torch.randn(2, 16, 6, 10)
    out = block(x.contiguous(memory_format=memory_format))
    assert out.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(out, block(x), rtol=1e-4, atol=1e-5)


def test_heads_have_32_channels() -> None:
    assert A2C2f(16, 192).m[0][0].attn.num_heads == 3  # type: ignore[index]
    assert A2C2f(16, 16).m[0][0].attn.num_heads == 1  # type: ignore[index]
