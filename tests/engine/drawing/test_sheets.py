"""Contact sheets: a grid of tiles of one size, with boxes where they belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine.drawing.draw import colour_of
from engine.drawing.sheets import CAPTION, GAP, plot_detections, plot_targets
from utils.structures import Batch


def make_batch(count: int, height: int, width: int, targets: list[list[float]]) -> Batch:
    return Batch(
        images=torch.full((count, 3, height, width), 114, dtype=torch.uint8),
        targets=torch.tensor(targets, dtype=torch.float32).reshape(-1, 6),
        indices=tuple(range(count)),
        paths=tuple(f"/data/images/{number} 图.jpg" for number in range(count)),
        original_sizes=((height, width),) * count,
        gains=((1.0, 1.0),) * count,
        pads=((0.0, 0.0),) * count,
    )


@pytest.mark.parametrize(
    ("count", "size", "grid", "tile"),
    [
        (1, (160, 160), (1, 1), (640, 640)),
        (2, (640, 320), (1, 2), (640, 320)),
        (5, (64, 128), (2, 3), (320, 640)),
        (16, (160, 160), (4, 4), (480, 480)),
        (33, (1280, 1280), (4, 4), (480, 480)),
    ],
)
def test_grid_and_tile_size(
    tmp_path: Path, count: int, size: tuple[int, int], grid: tuple[int, int], tile: tuple[int, int]
) -> None:
    path = plot_targets(tmp_path / "train_batch0.jpg", make_batch(count, *size, []), {})
    height = grid[0] * (tile[0] + CAPTION + GAP) + GAP
    width = grid[1] * (tile[1] + GAP) + GAP
    assert cv2.imread(str(path)).shape == (height, width, 3)


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(2) < 45


def test_boxes_lie_where_the_targets_say(tmp_path: Path) -> None:
    batch = make_batch(2, 160, 160, [[1, 2, 40, 60, 120, 100]])
    image = cv2.imread(str(plot_targets(tmp_path / "a.jpg", batch, {2: "thing"})))
    drawn = near(image, colour_of(2))
    scale, left, top = 4, 640 + 2 * GAP, GAP
    rows, columns = np.nonzero(drawn)
    assert abs(columns.min() - (left + 40 * scale)) < 8
    assert abs(columns.max() - (left + 120 * scale)) < 8
    assert abs(rows.max() - (top + 100 * scale)) < 8
    assert not drawn[:, : 640 + GAP].any(), "the first image has no label"


def test_faint_detections_are_left_out(tmp_path: Path) -> None:
    batch = make_batch(1, 160, 160, [])
    faint = torch.tensor([[20.0, 20, 140, 140, 0.24, 1]])
    image = cv2.imread(str(plot_detections(tmp_path / "a.jpg", batch, [faint], {})))
    assert not near(image, colour_of(1)).any()
    strong = torch.tensor([[20.0, 20, 140, 140, 0.26, 1]])
    image = cv2.imread(str(plot_detections(tmp_path / "a.jpg", batch, [strong], {})))
    assert near(image, colour_of(1)).sum() > 1000
