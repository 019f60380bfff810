"""What lists of arguments in public model files mean beside their values.

Some names have another meaning, or another default, in public files than in this project. A list of
arguments is read as the authors of such files mean it, and a note says so. A mapping is this
project's own notation and means what its documentation says. models/graph/attend.py asks here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from models.attention import ATTENTION
from models.graph.structure import Graph, Row
from models.graph.values import Note
from models.own.registry import own_named

Options = Mapping[str, object]


def complete_list(
    graph: Graph, row: Row, given: Sequence[object], found: Options
) -> tuple[dict[str, object], list[Note]]:
    """Complete the keyword arguments of a row whose arguments are a list.

    Args:
        graph: the graph of the row.
        row: a row of attention.
        given: its list, interpreted.
        found: the keyword arguments that the list stands for.

    Returns:
        The complete keyword arguments, and notes on what was taken.
    """
    if own_named(row.module):
        return dict(found), []
    if row.module == "CBAM":
        formula, text = _cbam_formula(graph, found)
        return {**found, "formula": formula}, [Note(f"{graph.file}: CBAM: {text}")]
    return dict(found), [Note(f"{graph.file}: {text}") for text in _defaults(row, given, found)]


def _cbam_formula(graph: Graph, found: Options) -> tuple[str, str]:
    """The formula of CBAM, and the words for it.

    Ultralytics has a class of this name, without a reduction, which its files mean.
    """
    if graph.family.has_anchors or "reduction" in found:
        return "paper", "taken as the paper's; copies differ, see `formula` in its file"
    return "ultralytics", (
        "taken as Ultralytics' class of this name, whose channel gate is one C x C layer of the"
        " mean; {formula: paper} is the paper's"
    )


def _defaults(row: Row, given: Sequence[object], found: Options) -> Iterator[str]:
    """The words for each default of public files that applies, and for a name with two meanings."""
    if row.module == "ChannelAttention":
        yield "ChannelAttention: taken as DANet's; the one of CBAM is CBAM, {no_spatial: true}"
    defaults: Options = getattr(ATTENTION[row.module], "list_defaults", {})
    for name, value in defaults.items():
        if found.get(name) == value and value not in given:
            yield (
                f"{row.module}: {name} taken as {value}, the default of most public copies;"
                f" {{{name}: …}} sets another"
            )
