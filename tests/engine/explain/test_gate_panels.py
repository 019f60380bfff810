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
    assert titles[:2] == ["row 3 EMA: before", "after"]
    assert titles[2].startswith("sigmoid: 0.")
    assert titles[3:5] == ["sigmoid: 8 values", "row 12 Own: before"]
    assert len(figure.axes[3].patches) == 8
    assert figure.get_supxlabel().startswith("plain: attention modules.")
