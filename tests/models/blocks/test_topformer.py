"""The transformer of Gold-YOLO, against a softmax that is computed cell by cell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.blocks import topformer
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize


def attended(x: Tensor, attn: torch.nn.Module) -> Tensor:
    """Self-attention of one image's cells, head by head."""
    query, key, value = (getattr(attn, f"to_{name}")(x).flatten(2)[0] for name in "qkv")
    rows = []
    for head in range(4):
        k, v = slice(8 * head, 8 * head + 8), slice(16 * head, 16 * head + 16)
        weights = (query[k].T @ key[k]).exp()
        rows.append(value[v] @ (weights / weights.sum(1, keepdim=True)).T)
    return attn.proj[1](torch.cat(rows).clamp(0, 6).view(1, 64, *x.shape[2:]))


def test_a_layer_attends_and_mixes() -> None:
    layer = topformer.TopBasicLayer(6, 6, [4, 3], 2).eval()
    randomize(layer)
    x = torch.randn(1, 6, 3, 4)
    y = x
    for block in layer.transformer_blocks:
        y = y + attended(y, block.attn)
        y = y + block.mlp.fc2(block.mlp.dwconv(block.mlp.fc1(y)).clamp(0, 6))
    torch.testing.assert_close(layer(x), layer.conv(y), rtol=1e-4, atol=1e-4)
    assert layer.out_channels == 7


def test_contract_and_channels() -> None:
    check_block(topformer.TopBasicLayer(6, 6, [4, 3], 1), 6)
    with pytest.raises(ValueError, match="reads 6 channels, but its first argument says 8"):
        topformer.TopBasicLayer(6, 8, [4])
