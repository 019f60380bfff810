"""Writes an arranged drawing as a small SVG file that suits light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from bench.attention_drawings.layout import LINE, PADDING, Drawing, Place, arrange
from bench.attention_drawings.record import CHANNELS, HEIGHT, WIDTH, Node, record
from bench.attention_drawings.simplify import simplify
from bench.attention_drawings.words import Words

MARGIN = 8.0
# Inside a page the page's own colours count: website/drawings.py leaves the colours out there.
STYLE = (
    "svg{color:#1f2328;--b:#fff}@media(prefers-color-scheme:dark){svg{color:#e6edf3;--b:#0d1117}}"
)
RULES = (
    ".f text{font:12px system-ui,sans-serif;fill:currentColor;text-anchor:middle}"
    ".f .s{font-size:10px;text-anchor:start;opacity:.75;paint-order:stroke;"
    "stroke:var(--b,var(--md-default-bg-color));stroke-width:3px}"
    ".f path{fill:none;stroke:currentColor;stroke-opacity:.55}"
    ".f .h{fill:currentColor;fill-opacity:.7;stroke:none}"
    ".f rect{stroke:currentColor;stroke-opacity:.5;fill:#8888;fill-opacity:.16}"
    ".f .w{fill:#2f81f7;fill-opacity:.22}.f .g{fill:#d29922;fill-opacity:.28}"
)
LETTER = 5.4  # width of a letter of a label
GATES = ("sigmoid", "softmax", "tanh")


def draw(name: str) -> str:
    """The SVG of the attention module of a name, as text."""
    return as_svg(simplify(record(name)), f"Data flow of {name}")


def as_svg(nodes: Sequence[Node], title: str) -> str:
    """Draw operations as a graph from top to bottom."""
    words = Words({}, (CHANNELS, HEIGHT, WIDTH))
    drawing = arrange(nodes)
    boxes = drawing.places[: len(nodes)]
    labels = {way[0] for way in drawing.ways}
    texts = apart(
        shape_label(boxes[number], words.shape(nodes[number].shape))
        for number in sorted(labels)
        if shows_shape(number, nodes)
    )
    right = max([drawing.width, *(x + LETTER * len(text) for x, _, text in texts)])
    width, height = right + 2 * MARGIN, drawing.height + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="f" viewBox="{-MARGIN:g} {-MARGIN:g}'
        f' {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style><style>{RULES}</style>",
        *arrows(drawing),
        *(box for node, place in zip(nodes, boxes, strict=True) for box in box_of(node, place)),
        *(f'<text class="s" x="{x:.0f}" y="{y:.0f}">{text}</text>' for x, y, text in texts),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def shows_shape(number: int, nodes: Sequence[Node]) -> bool:
    """Whether the shape behind a box is worth saying: it differs from what the box reads."""
    node = nodes[number]
    return not node.inputs or any(nodes[one].shape != node.shape for one in node.inputs)


def shape_label(place: Place, text: str) -> tuple[float, float, str]:
    return place.x + 4, place.floor + 11, text


def apart(texts: Iterable[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """The labels without those that would be written over their left neighbours."""
    texts, kept = list(texts), list[tuple[float, float, str]]()
    for x, y, text in sorted(texts, key=lambda one: (one[1], one[0])):
        if not kept or kept[-1][1] != y or x > kept[-1][0] + LETTER * len(kept[-1][2]):
            kept.append((x, y, text))
    return [one for one in texts if one in kept]


def arrows(drawing: Drawing) -> list[str]:
    """All arrows: curves between layers, straight beside the boxes that they pass."""
    lines, heads = dict[str, None](), dict[str, None]()
    for way in drawing.ways:
        for one, other in pairwise(way):
            upper, lower = drawing.places[one], drawing.places[other]
            lines[curve(upper, lower)] = None
        end = drawing.places[way[-1]]
        heads[f"M{end.x:.0f} {end.y:.0f}l-4-7h8z"] = None
    return [f'<path d="{"".join(lines)}"/>', f'<path class="h" d="{"".join(heads)}"/>']


def curve(upper: Place, lower: Place) -> str:
    """A line from the end of one place to the beginning of another, turning between layers."""
    x, to_x, start = upper.x, lower.x, upper.y + upper.height
    end = lower.y - (4 if lower.box >= 0 else 0)
    passing = "" if lower.box >= 0 else f"V{lower.floor:.0f}"
    if abs(x - to_x) < 0.5:
        return f"M{x:.0f} {start:.0f}V{end:.0f}{passing}"
    down = f"V{upper.floor:.0f}" if upper.floor > start else ""
    middle = (upper.floor + end) / 2
    turn = f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {end:.0f}"
    return f"M{x:.0f} {start:.0f}{down}{turn}{passing}"


def box_of(node: Node, place: Place) -> list[str]:
    """A box with its lines of text."""
    gate = any(line.startswith(GATES) for line in node.lines)
    kind = ' class="g"' if gate else ' class="w"' if node.weighted else ""
    radius = 12 if len(node.lines[0]) == 1 and len(node.lines) == 1 else 4
    left = place.x - place.width / 2
    rows = [
        f'<rect{kind} x="{left:.0f}" y="{place.y:.0f}" width="{place.width:.0f}"'
        f' height="{place.height:.0f}" rx="{radius}"/>'
    ]
    for number, line in enumerate(node.lines):
        y = place.y + PADDING / 2 + LINE * number + 11
        rows.append(f'<text x="{place.x:.0f}" y="{y:.0f}">{escape(line)}</text>')
    return rows
