"""The figure of effective receptive fields, a row for each model, a column for each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.drawing.figures import INK, printable
from engine.explain.panels import COLOURS, add_scale, figure_with
from engine.explain.receptive import SHARES, Field
from utils.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 2.3  # inches of a panel


def draw_fields(fields: Mapping[str, Sequence[Field]], images: int) -> Figure:
    """Maps of the fields with the squares that hold half and nearly all of the gradient.

    Args:
        fields: Model's label -> its fields.
        images: How many they are averaged over.
    """
    from matplotlib.patches import Rectangle

    columns = max(map(len, fields.values()))
    size = (SIDE + 0.1) * columns + 0.8, (SIDE + 0.5) * len(fields) + 0.1
    figure = figure_with(_caption(fields, images), *size)
    grid = figure.subplots(len(fields), columns, squeeze=False)
    for axes_of_row, (label, row) in zip(grid, fields.items(), strict=True):
        for axes, field in zip(axes_of_row, row, strict=False):
            side = len(field.map)
            # The square root shows the faint surroundings too.
            axes.imshow(field.map.sqrt().numpy(), cmap=COLOURS, vmin=0, vmax=1)
            middle = side // field.stride // 2 * field.stride - 0.5  # between two pixels
            for length in field.sides:
                low = middle - length / 2
                axes.add_patch(
                    Rectangle((low, low), length, length, fill=False, edgecolor="w", linewidth=1)
                )
            axes.set_xlim(-0.5, side - 0.5)
            axes.set_ylim(side - 0.5, -0.5)
            held = zip(SHARES, field.sides, strict=True)
            sides = ", ".join(f"{share:.0%} in {length} px" for share, length in held)
            title = f"{printable(label)}, row {field.row}, stride {field.stride:g}\n{sides}"
            axes.set_title(title, fontsize=8, color=INK, loc="left")
            axes.set_axis_off()
        for axes in axes_of_row[len(row) :]:
            axes.set_axis_off()
    add_scale(figure, grid, "root of the gradient's size")
    return figure


def _caption(fields: Mapping[str, Sequence[Field]], images: int) -> str:
    shares = " and ".join(f"{share:.0%}" for share in SHARES)
    side = max(len(field.map) for row in fields.values() for field in row)
    widest = max(field.sides[-1] for row in fields.values() for field in row)
    text = (
        "Effective receptive field of the central cell: size of its gradient by the image"
        f" (Luo et al. 2016), mean of {counted(images, 'image')} of {side} x {side} px. The squares"
        f" hold {shares} of it."
    )
    # Nothing outside of the image counts, so that the field of a larger image may be wider.
    return text if widest < 0.9 * side else f"{text} The image limits the widest; see --imgsz."
