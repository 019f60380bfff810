"""CoordAttention: golden values, its hand-written backward passes, hidden channels, and what it
refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.coord_attention import CoordAttention
from models.attention.fast.coord_attention import fast_coord_attention
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("coord_att")
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def listing(module: CoordAttention, x: Tensor) -> Tensor:
    """The formula written down once more, one operation at a time."""
    both = torch.cat((x.mean(3), x.mean(2)), 2)[..., None]
    both = module.bn1(module.conv1(both))
    both = both * (both + 3).clamp(0, 6) / 6
    rows, columns = both[:, :, : x.shape[2]], both[:, :, x.shape[2] :].transpose(2, 3)
    return x * module.conv_h(rows).sigmoid() * module.conv_w(columns).sigmoid()


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(CoordAttention(32), "official", size)


def test_golden_with_more_hidden_channels() -> None:
    GOLDEN.check(CoordAttention(32, reduction=2), "reduction2", "7x13")


@pytest.mark.parametrize("memory_format", LAYOUTS)
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (6, 1)])
def test_gradients(size: tuple[int, int], memory_format: torch.memory_format) -> None:
    module = CoordAttention(6).double()
    x = draws(5, 3, 6, *size).double().contiguous(memory_format=memory_format).requires_grad_()
    assert_same_gradients(module, listing, x, memory_format)
    assert torch.autograd.gradcheck(module.eval(), (x,), fast_mode=True)


def test_the_fast_form_takes_any_gates() -> None:
    x = draws(5, 2, 3, 4, 2).double().requires_grad_()

    def gates(rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rows.sigmoid(), columns.tanh()

    expected = x * x.mean(3, keepdim=True).sigmoid() * x.mean(2, keepdim=True).tanh()
    torch.testing.assert_close(fast_coord_attention(x, gates), expected)
    assert torch.autograd.gradcheck(lambda x: fast_coord_attention(x, gates), (x,))


@pytest.mark.parametrize("memory_format", LAYOUTS)
def test_a_batch_of_several_blocks_and_an_expanded_gradient(
    memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "models.attention.fast._blocks.STEP", 2 * 16 * 7 * 6
    )  # two images, then one
    module = CoordAttention(16)
    x = draws(5, 3, 16, 7, 6).contiguous(memory_format=memory_format).requires_grad_()
    found, expected = (
        torch.autograd.grad(f(x).sum(), x)[0] for f in (module, lambda x: listing(module, x))
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_hidden_channels_are_eight_at_least() -> None:
    assert [CoordAttention(c).conv1.out_channels for c in (4, 64, 256, 512)] == [8, 8, 8, 16]


@pytest.mark.parametrize("value", [0, -1, 32.0, "32", True, None])
def test_impossible_reductions(value: Any) -> None:
    with pytest.raises(ValueError, match=r"reduction=.*: must be a whole number from 1 on"):
        CoordAttention(64, reduction=value)


def test_list_spellings() -> None:
    assert read_list(CoordAttention, [64, 64], 64, int) == ({}, "")  # not a reduction of 64
    assert read_list(CoordAttention, [64, 16], 64, int) == ({"reduction": 16}, "")
    with pytest.raises(ValueError, match="reduction=512: is more than the 64 channels"):
        CoordAttention(64, reduction=512)
