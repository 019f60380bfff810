"""The receptive field of known layers, and of a network's levels."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.explain.receptive import Field, receptive_fields, square_of
from engine.explain.receptive_panels import draw_fields
from tests.tiny import lively, write_free_graph


def test_the_square_holds_its_share() -> None:
    values = torch.zeros(16, 16)
    values[7:9, 7:9] = 1.0
    values[2, 8] = 1.0  # the row that is 6 above the middle
    assert square_of(values, 8, 0.5) == 2
    assert square_of(values, 8, 0.95) == 12
    assert square_of(torch.zeros(4, 4), 2, 0.5) == 0


def test_fields_grow_with_depth_and_stay_within_the_theoretical_one(tmp_path: Path) -> None:
    model = lively(write_free_graph(tmp_path), {0: "a", 1: "b"}).eval().requires_grad_(False)
    images = [torch.rand(1, 3, 40, 64, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    first, second, last = receptive_fields(model, images, [0, 1, 5], 128)
    assert (first.stride, second.stride, last.stride) == (2, 4, 16)
    assert first.sides[1] <= 4  # a 3 x 3 kernel
    assert second.sides[1] <= 8  # 7 x 7 pixels
    assert first.sides < second.sides < last.sides
    assert int((first.map > 0).sum()) == 9
    assert float(last.map.max()) == 1


def test_the_figure_tells_the_sides() -> None:
    field = Field(17, 8.0, torch.rand(32, 32), (6, 20))
    figure = draw_fields({"plain": [field, field], "other": [field]}, 5)
    title = figure.axes[0].get_title(loc="left")
    assert title == "plain, row 17, stride 8\n50% in 6 px, 95% in 20 px"
    assert len(figure.axes[0].patches) == 2
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "mean of 5 images of 32 x 32 px." in caption
    assert not caption.endswith("see --imgsz.")
    wide = draw_fields({"plain": [Field(17, 8.0, torch.rand(32, 32), (6, 30))]}, 1)
    caption = wide.get_supxlabel().replace("\n", " ")
    assert "mean of 1 image of" in caption
    assert caption.endswith("The image limits the widest; see --imgsz.")
