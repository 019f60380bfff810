"""The figure of effective receptive fields, a row for each model, a column for each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.drawing.figures import INK, make_figure, printable
from engine.explain.panels import COLOURS, add_caption, add_scale
from engine.explain.receptive import SHARES, Field

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 2.8  # inches of a panel


def draw_fields(fields: Mapping[str, Sequence[Field]], images: int) -> Figure:
    """Maps of the fields with the squares that hold half and nearly all of the gradient.

    Args:
        fields: Model's label -> its fields.
        images: How many they are averaged over.
    """
    from matplotlib.patches import Rectangle

    columns = max(map(len, fields.values()))
    figure = make_figure(SIDE * columns + 0.8, (SIDE + 0.4) * len(fields) + 0.6)
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
            sides = " and ".join(f"{length}" for length in field.sides)
            title = f"{printable(label)}, row {field.row},\nstride {field.stride:g}: {sides} px"
            axes.set_title(title, fontsize=8, color=INK, loc="left")
            axes.set_axis_off()
        for axes in axes_of_row[len(row) :]:
            axes.set_axis_off()
    shares = " and ".join(f"{share:.0%}" for share in SHARES)
    add_scale(figure, grid, "root of the gradient's size")
    add_caption(
        figure,
        f"Effective receptive field of the central cell: size of its gradient by the image, mean of"
        f" {images} images (Luo et al. 2016). The squares hold {shares} of it.",
    )
    return figure
