"""The figure of gates has a row for each module."""

from __future__ import annotations

import torch

from engine.explain.gate_panels import draw_gates
from engine.explain.gates import Gate, ModuleGates


def test_a_row_shows_before_after_maps_and_bars() -> None:
    square = torch.rand(4, 4)
    gate = Gate("sigmoid", torch.rand(8), square)
    modules = [
        ModuleGates(3, "model.3", "EMA", square, square * 2, [gate]),
        ModuleGates(12, "model.12.att", "Own", square, square, []),
    ]
    figure = draw_gates(modules, "plain")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["row 3 EMA: before", f"after: colours 0 to {float(square.max() * 2):.2g}"]
    assert titles[2].startswith("sigmoid: 0.")
    assert titles[3:5] == ["sigmoid: 8 channels or groups", "row 12 Own: before"]
    assert len(figure.axes[3].patches) == 8
    assert figure.get_supxlabel().startswith("plain: attention modules.")
    assert "panels of gates are shown" not in figure.get_supxlabel()


def test_the_caption_says_what_is_left_out() -> None:
    square = torch.rand(4, 4)
    many = [Gate("sigmoid", torch.rand(8), square)] * 3
    figure = draw_gates([ModuleGates(3, "model.3", "EMA", square, square, many)], "plain")
    assert len(figure.axes) == 6
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.endswith("The first 4 panels of gates are shown; row 3 EMA has 6.")
