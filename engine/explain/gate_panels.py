"""The figure of the gates of all attention modules of a network, a row for each module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.drawing.figures import BLUE, INK, printable
from engine.explain.gates import Gate, ModuleGates
from engine.explain.panels import HEADING, figure_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

MOST_GATES = 4  # panels of gates in a row
SIDE = 2.0  # inches of a panel


def draw_gates(modules: Sequence[ModuleGates], label: str) -> Figure:
    """Maps before and after each module, and its gates: maps as maps, channels as bars.

    Args:
        modules: From gates_of(), at least one.
        label: Name of the model.
    """
    panels = [_panels(module) for module in modules]
    shown = [some[:MOST_GATES] for some in panels]
    columns = 2 + max(map(len, shown))
    height, width = modules[0].before.shape
    tall = min(max(SIDE * height / width, 1.2), 2 * SIDE) + HEADING
    caption = (
        f"{printable(label)}: attention modules. Before and after: root mean square over the"
        " channels, both on one scale. Gates: maps are means over channels or heads, bars one value"
        " for each channel or group; a module without such panels makes no gate that its"
        f" operations show.{_left_out(modules, panels)}"
    )
    size = max((SIDE + 0.15) * columns, 6.0), (tall + 0.1) * len(modules) + 0.1
    figure = figure_with(caption, *size)
    grid = figure.subplots(len(modules), columns, squeeze=False)
    for row, module, gates in zip(grid, modules, shown, strict=True):
        where = f"row {module.row} {printable(module.kind)}"
        most = max(float(module.before.max()), float(module.after.max()))
        _show_map(row[0], module.before, f"{where}: before", (0, most))
        _show_map(row[1], module.after, f"after: colours 0 to {most:.2g}", (0, most))
        for axes, (title, gate) in zip(row[2:], gates, strict=False):
            _show_gate(axes, title, gate)
        for axes in row[2 + len(gates) :]:
            axes.set_axis_off()
    return figure


def _left_out(modules: Sequence[ModuleGates], panels: Sequence[Sequence[object]]) -> str:
    """A sentence on the modules that have more panels than are shown, or ""."""
    more = [
        f"row {module.row} {printable(module.kind)} has {len(some)}"
        for module, some in zip(modules, panels, strict=True)
        if len(some) > MOST_GATES
    ]
    if not more:
        return ""
    return f" The first {MOST_GATES} panels of gates are shown; {', '.join(more)}."


def _panels(module: ModuleGates) -> list[tuple[str, Gate]]:
    """A title for each panel, with the gate that has only what the panel shows."""
    panels = []
    for gate in module.gates:
        if gate.map is not None:
            panels.append((gate.kind, Gate(gate.kind, None, gate.map)))
        if gate.bars is not None:
            panels.append(
                (
                    f"{gate.kind}: {len(gate.bars)} channels or groups",
                    Gate(gate.kind, gate.bars, None),
                )
            )
    return panels


def _show_gate(axes: Axes, title: str, gate: Gate) -> None:
    if gate.map is not None:
        low, high = float(gate.map.min()), float(gate.map.max())
        _show_map(axes, gate.map, f"{title}: {low:.2g} to {high:.2g}", (low, high))
        return
    assert gate.bars is not None
    values = gate.bars.cpu().numpy()
    axes.bar(range(len(values)), values, width=1.0, color=BLUE)
    axes.set_title(title, fontsize=8, color=INK, loc="left")
    axes.tick_params(labelsize=7, colors=INK, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _show_map(axes: Axes, values: Tensor, title: str, limits: tuple[float, float]) -> None:
    low, high = limits
    axes.imshow(values.cpu().numpy(), cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=8, color=INK, loc="left")
    axes.set_axis_off()
