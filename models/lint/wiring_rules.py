"""The rules about what rows read: one function for each kind of fault, listed in WIRING_RULES.

models/graph/wiring.py finds the references; here they are put into words. models/lint/rules.py
applies the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from models.attention import ATTENTION
from models.graph import wiring
from models.graph.structure import Graph, unread_rows
from models.graph.values import shorten
from models.graph.wiring import Slip
from models.lint.finding import Fix, LintContext, LintFinding, named

JOINS = ("Concat", "nn.Upsample")  # rows that join or resize maps without mixing their channels
GraphRule = Callable[[Graph, LintContext], Iterator[LintFinding]]


def _finding(graph: Graph, slip: Slip, rule: str, why: str) -> LintFinding:
    """A finding from a slip: the row that is read, why that is wrong, and the right row."""
    index = slip.reader.index
    what = f"{slip.reader.module} reads {named(graph, slip.read)}: {why}"
    if slip.meant < 0:
        return LintFinding(graph.file, 0, index, rule, what)
    fix = Fix("from", index, slip.position, slip.meant)
    return LintFinding(graph.file, 0, index, rule, what, named(graph, slip.meant), fix)


def head_joins(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A head that reads a Concat or an Upsample, whose map no block has worked on."""
    # In YOLO's graphs a block follows every join. A head that reads the join itself is most often
    # one row off, so the slip that explains this, if there is one, gives the fix.
    head = graph.rows[-1]
    early = wiring.early(graph, context.sizes) if len(graph.rows) > 1 else ()
    found = {slip.position: slip for slip in early if slip.reader is head}
    for position, source in enumerate(head.inputs):
        if source >= 0 and graph.rows[source].module in JOINS:
            slip = found.get(position, Slip(head, position, source, -1))
            why = "a map that is only joined or resized, and that no block has worked on"
            yield _finding(graph, slip, "head", why)


def attention_bypassed(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A row that takes a map before the attention that works on it."""
    # A stage that continues with attention only is complete: the reader bypasses that attention.
    # Other early references are explained by the rules below.
    early = [slip for slip in wiring.early(graph, context.sizes) if _only_attention(graph, slip)]
    for slip in [*early, *wiring.passing(graph)]:
        yield _finding(
            graph, slip, "bypass", f"passes by the attention in {named(graph, slip.meant)}"
        )


def _only_attention(graph: Graph, slip: Slip) -> bool:
    """Whether all rows after the one that is read, up to the one that was meant, are attention."""
    return all(row.module in ATTENTION for row in graph.rows[slip.read + 1 : slip.meant + 1])


def number_not_moved(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A number that would be right if the inserted attention rows were not counted."""
    slips = [*wiring.early(graph, context.sizes), *wiring.unlike(graph, context.sizes)]
    for slip in slips:
        inserted = _inserted(graph, slip, context)
        if inserted and slip.meant >= 0:
            why = f"the number was not moved when {inserted}, came in"
            yield _finding(graph, slip, "shift", why)


def _inserted(graph: Graph, slip: Slip, context: LintContext) -> str:
    """The attention rows whose insertion explains a slip, or "" if insertions do not."""
    # Only attention counts as inserted: other rows have no mark by which the old numbers of the
    # rows after them would be known.
    if wiring.moved(graph, slip.read, context.sizes, slip.reader) != slip.meant:
        return ""
    above = [row.index for row in graph.rows[: slip.meant] if row.module in ATTENTION]
    return " and ".join(named(graph, index) for index in above)


def stage_unfinished(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A skip connection that starts before the end of its stage, for an unknown reason."""
    for slip in wiring.early(graph, context.sizes):
        why = f"its stage goes on at the same size to {named(graph, slip.meant)}"
        yield _finding(graph, slip, "stage", why)


def sizes_differ(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A Concat of maps that differ in size, at which the graph stops."""
    for slip in wiring.unlike(graph, context.sizes):
        height, width = context.sizes[slip.read]
        size = f"{height}x{width} for an image of {context.side} px"
        yield _finding(graph, slip, "size", f"{size}, unlike the other maps that it joins")


def level_order(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """Two levels of the head at one stride, or levels in another order than their anchors."""
    for slip in wiring.levels(graph, context.sizes):
        why = "the levels do not get coarser one by one, as their anchors do"
        if slip.meant < 0:
            why += ", and the rows before the head have no other level to offer"
        yield _finding(graph, slip, "levels", why)


def level_forgotten(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A head that reads an earlier row of a level whose last row no other row reads."""
    for slip in wiring.forgotten(graph, context.sizes):
        why = f"no row reads {named(graph, slip.meant)}, of the same size"
        yield _finding(graph, slip, "level", why)


def read_twice(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A row that reads the same row twice."""
    for slip in wiring.doubled(graph):
        yield _finding(graph, slip, "twice", f"twice, with `from` {shorten(slip.reader.source)}")


def output_unread(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A row whose output no row reads."""
    for row in unread_rows(graph):
        meant = "let a later row read it, or remove it and move the later numbers"
        yield context.finding(row.index, "unread", f"no other row reads this {row.module}", meant)


def no_gradient(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """A row whose parameters get no gradient, since its output never reaches the head."""
    for index in wiring.dead_branches(graph):
        module = graph.rows[index].module
        what = f"no path leads from this {module} to the head, so its weights get no gradient"
        yield context.finding(index, "gradient", what)


# Several rules may object to one reference; the earliest in the table is the one that is reported.
# The specific explanations therefore stand before the general ones.
WIRING_RULES: Mapping[str, GraphRule] = MappingProxyType(
    {
        "head reads a joined map": head_joins,
        "attention bypassed": attention_bypassed,
        "number not moved": number_not_moved,
        "skip before the end of a stage": stage_unfinished,
        "sizes that differ": sizes_differ,
        "order of the levels": level_order,
        "level that no row reads": level_forgotten,
        "row read twice": read_twice,
        "output that no row reads": output_unread,
        "parameters without gradient": no_gradient,
    }
)
