"""Parts of maps: they cover a map once, in order and side by side, without copies."""

from __future__ import annotations

import pytest
import torch

from models.attention.fast._blocks import (
    BLOCK,
    CACHE,
    image_runs,
    is_channels_last,
    like,
    map_blocks,
    split_together,
)
from tests.models.attention.golden import draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


@LAYOUTS
def test_blocks_cover_a_map_once(layout: torch.memory_format) -> None:
    x = torch.zeros(3, 5, 300, 300).contiguous(memory_format=layout)
    parts = map_blocks(x)
    assert len(parts) == 3
    assert all(part.numel() <= BLOCK for part in parts)
    for part in parts:
        part += 1
    assert torch.equal(x, torch.ones_like(x))


@LAYOUTS
def test_runs_take_every_image_once_in_order(layout: torch.memory_format) -> None:
    x = torch.arange(7.0).view(7, 1, 1, 1).expand(7, 2, 3, 4).contiguous(memory_format=layout)
    for size, lengths in [(24, [1] * 7), (71, [2, 2, 2, 1]), (1, [1] * 7), (10**6, [7])]:
        found = image_runs(x, size)
        assert [len(x[run]) for run in found] == lengths
        assert torch.equal(torch.cat([x[run] for run in found]), x)
    assert image_runs(x[:0]) == []
    assert len(image_runs(torch.empty(64, 8, 1024, device="meta"), 1)) == 1


def test_runs_are_as_many_bytes_whatever_the_type() -> None:
    x = torch.zeros(8, CACHE // 8)
    assert len(image_runs(x)) == 4
    assert len(image_runs(x.half())) == 2


def test_split_keeps_maps_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.attention.fast._blocks.STEP", 48)
    x, gate = draws(15, 5, 2, 3, 4), draws(16, 5, 2, 1, 1)
    parts = split_together(x, gate)
    assert [part.shape for part, _ in parts] == [(2, 2, 3, 4), (2, 2, 3, 4), (1, 2, 3, 4)]
    for whole, pieces in zip((x, gate), zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat(pieces), whole)
        assert pieces[0].data_ptr() == whole.data_ptr()


def test_like_copies_only_where_it_must() -> None:
    x = draws(13, 2, 3, 4, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    assert like(x, x) is x
    assert like(last, last) is last
    assert like(x, last).stride() == last.stride()
    assert like(last, x).stride() == x.stride()


def test_channels_last_is_distinguished_from_contiguous() -> None:
    x = draws(14, 2, 3, 4, 5)
    assert not is_channels_last(x)
    assert is_channels_last(x.contiguous(memory_format=torch.channels_last))
    assert not is_channels_last(x[:, :, :1, :1].contiguous(memory_format=torch.channels_last))
    assert not is_channels_last(x.transpose(2, 3))
