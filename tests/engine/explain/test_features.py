"""Feature maps are files of every row but the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.explain.features import GAP, tile, write_features
from tests.tiny import lively, write_graph


def test_every_row_is_written_with_its_values(tmp_path: Path) -> None:
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval()
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    paths = write_features(model, x, tmp_path / "maps")
    assert [path.name for path in paths] == [
        f"stage{number}_{name}_features.png"
        for number, name in enumerate(("Conv", "Conv", "C3", "Conv", "SimAM", "Conv"))
    ]
    first = np.load(tmp_path / "maps" / "stage0_Conv_features.npy", allow_pickle=False)
    with torch.no_grad():
        assert np.allclose(first, model.model[0](x)[0].numpy(), atol=1e-6)


def test_channels_are_tiled_each_in_its_own_range() -> None:
    values = np.zeros((9, 64, 64), np.float32)
    values[1, 0, 0], values[8, :, 0] = 5, -3
    sheet = tile(values)
    assert sheet.shape == (2 * 64 + GAP, 8 * 64 + 7 * GAP)
    assert sheet[0, 64 + GAP] == 255
    assert sheet[1:64].max() == 0
    assert sheet[64 + GAP :, 0].max() == 0
    assert (sheet[64 + GAP :, 1:64] == 255).all()
