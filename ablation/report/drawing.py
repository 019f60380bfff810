"""The drawing of the report's charts: sizes and colours, and the way from matplotlib to SVG.

A chart takes its colours from variables of the page's style sheet, so that it follows the reader's
light or dark theme. Its text stays text, because a browser has fonts for every script. The same
figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Literal
from xml.dom import minidom

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 9.2, 4.4  # widths in inches of 72 SVG units
FONT_SIZE = 8.5
# matplotlib accepts real colours only, so each variable of the style sheet is drawn in a colour
# that nothing else has, and `themed` replaces that colour by the variable.
COLORS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "paper": "#040404",
    "helps": "#050505",
    "hurts": "#060606",
    "none": "#070707",
    "band": "#080808",
    "curve": "#090909",
}
VARIABLES = {color: f"var(--{name})" for name, color in COLORS.items()}

GridAxis = Literal["both", "x", "y"]


def new_chart(is_narrow: bool, height: float) -> Figure:
    """An empty figure of the wide or the narrow format. The height is in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width = NARROW if is_narrow else WIDE
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04)
    return Figure(figsize=(width, height), dpi=72, layout=layout)


def new_axes(is_narrow: bool, height: float, grid: GridAxis = "x") -> tuple[Figure, Axes]:
    """A figure with a single panel.

    Args:
        is_narrow: whether the chart is for a phone.
        height: height in inches.
        grid: axes that have grid lines.
    """
    figure = new_chart(is_narrow, height)
    return figure, style_panel(figure.add_subplot(), grid)


def style_panel(axes: Axes, grid: GridAxis) -> Axes:
    """Remove the frame, and put light grid lines behind the data."""
    axes.tick_params(labelsize=FONT_SIZE, colors=COLORS["ink"], length=0)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set(fontsize=FONT_SIZE, color=COLORS["ink"])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(True, axis=grid, color=COLORS["grid"], linewidth=0.7)
    axes.patch.set_visible(False)
    return axes


def as_svg(figure: Figure, name: str) -> str:
    """Render a figure as an <svg> element for a page.

    The name makes the element's ids unique, so it must differ from those of the page's other
    charts.
    """
    import matplotlib
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_color() == "black":
            text.set_color(COLORS["ink"])
    buffer = io.StringIO()
    # By default ids are random, text becomes outlines, and a $ in an arm's name begins a formula.
    context = matplotlib.rc_context(
        {
            "svg.hashsalt": name,
            "svg.fonttype": "none",
            "text.parse_math": False,
            "axes.unicode_minus": True,
        }
    )
    with context, warnings.catch_warnings():
        # matplotlib needs glyphs to measure text only: the reader's browser draws it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return embed(buffer.getvalue(), name.replace(" ", "-").lower())


def embed(document: str, prefix: str) -> str:
    """Turn an SVG file by matplotlib into an element that shares a page with others.

    A file brings its own metadata, fonts and size, and its ids (axes_1, text_1 …) are the same in
    every file. In a page the ids must be unique, and the page's style sheet sets the rest.
    """
    svg = minidom.parseString(document.encode()).getElementsByTagName("svg")[0]
    for element in [*svg.getElementsByTagName("metadata"), *svg.getElementsByTagName("style")]:
        if element.parentNode is not None:
            element.parentNode.removeChild(element)
    for name in ("width", "height"):
        svg.removeAttribute(name)
    for element in svg.getElementsByTagName("*"):
        adapt(element, prefix)
    return svg.toxml()


def adapt(element: minidom.Element, prefix: str) -> None:
    """Prefix an element's id and what refers to ids, set its colours and shorten its path."""
    changes = {
        "id": lambda value: f"{prefix}-{value}",
        "xlink:href": lambda value: value.replace("#", f"#{prefix}-", 1),
        "clip-path": lambda value: value.replace("url(#", f"url(#{prefix}-", 1),
        "style": themed,
        "d": shorten_numbers,
    }
    for name, change in changes.items():
        if element.hasAttribute(name):
            element.setAttribute(name, change(element.getAttribute(name)))


def themed(style: str) -> str:
    """Rewrite a style attribute to use the page's fonts and colours."""
    pairs = (declaration.split(": ", 1) for declaration in style.split("; "))
    return "; ".join(
        f"{name}: {VARIABLES.get(value, value)}" for name, value in pairs if name != "font-family"
    )


def shorten_numbers(path: str) -> str:
    """Cut the numbers of a path to two decimals, a hundredth of a pixel."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", path)
