"""What every block keeps whatever it computes: gradients, small maps, memory formats, bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.models.blocks.test_reparam import randomize

SIZES = ((7, 5), (2, 3), (1, 1))  # (height, width) of the first map


def _call(block: nn.Module, maps: list[Tensor], joins: bool) -> Tensor:
    return block(maps) if joins else block(maps[0])


def check_block(
    block: nn.Module,
    channels: Sequence[int] | int,
    shrinks: Sequence[int] = (),
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> None:
    """Fail unless a block keeps what rows of any graph ask of it.

    Args:
        block: to check; its norms get values other than those that they start with.
        channels: of the map that it reads, or of each map if it reads a list.
        shrinks: how many times smaller each map is than the first, 1 where nothing is given.
        sizes: of the first map.
    """
    randomize(block.eval())
    joins = not isinstance(channels, int)
    counts = channels if isinstance(channels, Sequence) else [channels]
    steps = shrinks or [1] * len(counts)
    for height, width in sizes:
        maps = [
            torch.randn(2, count, -(-height // step), -(-width // step))
            for count, step in zip(counts, steps, strict=True)
        ]
        out = _call(block, maps, joins)
        assert out.isfinite().all()
        flipped = [x.contiguous(memory_format=torch.channels_last) for x in maps]
        torch.testing.assert_close(_call(block, flipped, joins), out, rtol=1e-3, atol=1e-4)
        block.bfloat16()
        half = _call(block, [x.bfloat16() for x in maps], joins)
        block.float()
        assert half.dtype is torch.bfloat16
        assert (half - out).abs().mean() < 0.1 * out.abs().mean() + 0.05
    _check_gradients(block, counts, steps, joins)


def _check_gradients(
    block: nn.Module, counts: Sequence[int], steps: Sequence[int], joins: bool
) -> None:
    """Every parameter and every map has a finite gradient in training, which is not all zero."""
    maps = [
        torch.randn(4, count, 8 // step, 8 // step, requires_grad=True)
        for count, step in zip(counts, steps, strict=True)
    ]
    out = _call(block.train(), maps, joins)
    (out * torch.randn_like(out)).sum().backward()
    for name, value in [*block.named_parameters(), *((f"map {i}", x) for i, x in enumerate(maps))]:
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        assert value.grad.abs().sum() > 0, name
