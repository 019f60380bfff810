"""Target assignment: YOLOv5's own lists, exactly, and hand-made targets in the middle and at the
edges.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.losses.assign import Matches, assign, grid_sides, match_in_cells
from tests.models.losses.anchors import P5, P6
from utils.boxes import denormalise_boxes

GOLDEN = np.load(Path(__file__).parents[2] / "golden/yolov5/loss.npz")
SIZE = (96, 160)
GRIDS = [(12, 20), (6, 10), (3, 5), (2, 3)]
CASES = {
    "base": (P5, 4.0),
    "single_class": (P5, 4.0),
    "four_levels": (P6, 4.0),
    "no_targets": (P5, 4.0),
    "one_target": (P5, 4.0),
    "anchor_t_2.5": (P5, 2.5),
}


def in_cells(anchors: tuple) -> torch.Tensor:
    strides = torch.tensor([8.0, 16, 32, 64][: len(anchors)])
    return torch.tensor(anchors, dtype=torch.float32) / strides[:, None, None]


def in_pixels(targets: torch.Tensor) -> torch.Tensor:
    return torch.cat((targets[:, :2], denormalise_boxes(targets[:, 2:], SIZE)), 1)


def check(matches: Matches, name: str, tolerance: float) -> None:
    """Compare a Matches with build_targets' lists, level by level, order included."""
    index = torch.stack((matches.image, matches.anchor, matches.row, matches.column), 1)
    assert (matches.level.diff() >= 0).all()
    for level in range(sum(f"{name}_bt_idx{level}" in GOLDEN for level in range(4))):
        mine = matches.level == level
        assert np.array_equal(index[mine], GOLDEN[f"{name}_bt_idx{level}"])
        assert np.array_equal(matches.label[mine], GOLDEN[f"{name}_bt_tcls{level}"])
        np.testing.assert_allclose(
            matches.box[mine], GOLDEN[f"{name}_bt_tbox{level}"], atol=tolerance, rtol=0
        )
        np.testing.assert_array_equal(matches.anchor_size[mine], GOLDEN[f"{name}_bt_anch{level}"])


@pytest.mark.parametrize("name", CASES)
def test_matches_equal_golden(name: str) -> None:
    anchors, ratio = CASES[name]
    grids = GRIDS[: len(anchors)]
    targets = torch.tensor(GOLDEN[f"{name}_targets"])
    check(assign(in_pixels(targets), in_cells(anchors), grids, SIZE, ratio), name, 1e-5)
    cells = grid_sides(grids, targets)
    centres, sizes = (
        targets[None, :, part] * cells[:, None] for part in (slice(2, 4), slice(4, 6))
    )
    check(
        match_in_cells(targets[:, :2].long(), centres, sizes, in_cells(anchors), cells, ratio),
        name,
        0,
    )


def match_one(x: float, y: float, side: float = 2.0) -> list[tuple[int, int]]:
    """The (column, row) cells that a target centred at (x, y) gets in a grid of 4 x 4 cells of 8
    px.
    """
    box = [0, 1, *(8 * value for value in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))]
    matches = assign(torch.tensor([box]), torch.full((1, 1, 2), 2.0), [(4, 4)], (32, 32), 4.0)
    cells = list(zip(matches.column.tolist(), matches.row.tolist(), strict=True))
    centre = matches.box[:, :2] + torch.stack((matches.column, matches.row), 1)
    assert torch.allclose(centre, torch.tensor([x, y]).expand_as(centre))
    return cells


@pytest.mark.parametrize(
    ("centre", "cells"),
    [
        ((1.25, 1.75), [(1, 1), (0, 1), (1, 2)]),  # nearer to the left and to the lower neighbour
        ((2.75, 2.25), [(2, 2), (2, 1), (3, 2)]),
        ((0.25, 0.25), [(0, 0)]),  # there are no neighbours outside
        ((3.75, 3.75), [(3, 3)]),
        ((1.5, 1.5), [(1, 1)]),  # in the middle there is no nearer one
        ((2.0, 1.5), [(2, 1), (1, 1), (2, 1)]),  # on a line its own cell comes twice, as in YOLOv5
        (
            (4.0, 2.25),
            [(3, 2), (3, 2), (3, 1)],
        ),  # on the border of the image the last cell takes it
    ],
)
def test_cells_by_hand(centre: tuple[float, float], cells: list[tuple[int, int]]) -> None:
    assert match_one(*centre) == cells


def test_ratio_is_exclusive_both_ways() -> None:
    assert match_one(1.5, 1.5, 2 * 3.99)
    assert not match_one(1.5, 1.5, 2 * 4.0)
    assert match_one(1.5, 1.5, 2 / 3.99)
    assert not match_one(1.5, 1.5, 2 / 4.0)


@pytest.mark.parametrize(
    "corners", [(5.0, 5, 5, 9), (float("nan"), 5, 9, 9), (0, 0, float("inf"), 9)]
)
def test_boxes_without_extent_match_nothing(corners: tuple[float, ...]) -> None:
    matches = assign(torch.tensor([[0, 0, *corners]]), in_cells(P5), GRIDS[:3], SIZE, 4.0)
    assert len(matches.level) == 0


def test_every_match_lies_inside_its_grid() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(500, 2, 2, generator=generator).sort(1).values * torch.tensor([160.0, 96])
    targets = torch.cat((torch.zeros(500, 2), corners.flatten(1)), 1)
    matches = assign(targets, in_cells(P5), GRIDS[:3], SIZE, 4.0)
    sides = torch.tensor(GRIDS[:3])[matches.level]
    for index, side in ((matches.row, sides[:, 0]), (matches.column, sides[:, 1])):
        assert ((index >= 0) & (index < side)).all()
    assert len(matches.level) > 500
