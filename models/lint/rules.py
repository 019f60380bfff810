"""The rules of models/lint/mend.py that look at a graph, one small function each; RULES is the
table of them.

Each takes a Context and yields Findings. Where two rules find fault with one reference the earlier
in the table speaks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from models.attention import ATTENTION
from models.attention._arguments import SMALLEST_COUNT, read_list
from models.attention._registry import options
from models.graph import wiring
from models.graph.layers import LAYERS
from models.graph.read import BIN_KEYS, KEYS
from models.graph.scales import MULTIPLES
from models.graph.structure import Graph, Row, unread_rows
from models.graph.values import is_whole, shorten
from models.graph.wiring import Slip
from models.lint.finding import Context, Finding, Fix, named
from utils.families import family_of

LARGEST_OPTION = (
    64  # above it a number among options is a channel count, but for those that are channel counts
)
COUNTS = ("c_m", "c_n", "out_channels", "spatial_shape")
LARGEST_KERNEL = 31
KERNELS = (
    "Conv",
    "DWConv",
    "GhostConv",
    "SPPF",
    "CrossConv",
    "Focus",
)  # first argument channels, second a kernel
JOINS = ("Concat", "nn.Upsample")
EXPLAINED = {
    "error": ("size", "shift", "arguments"),
    "twice": ("levels",),
}  # rules that have nothing to add to others
Rule = Callable[[Context], Iterator[Finding]]


def _slip(context: Context, graph: Graph, slip: Slip, rule: str, why: str) -> Finding:
    """A finding from a slip: what is read, and the number to write instead."""
    reader, what = slip.reader, f"{slip.reader.module} reads {named(graph, slip.read)}"
    if slip.meant < 0:
        return context.finding(reader.index, rule, f"{what}: {why}")
    fix = Fix("from", reader.index, slip.position, slip.meant)
    return context.finding(reader.index, rule, f"{what}: {why}", f"{named(graph, slip.meant)}", fix)


def _inserted(graph: Graph, slip: Slip, context: Context) -> str:
    """The attention rows whose insertion explains a slip, `row 3, DoubleAttention`, or "" if none
    does.
    """
    if wiring.moved(graph, slip.read, context.sizes, slip.reader) != slip.meant:
        return ""
    above = [row.index for row in graph.rows[: slip.meant] if row.module in ATTENTION]
    return " and ".join(named(graph, index) for index in above)


def _past_attention(graph: Graph, slip: Slip) -> bool:
    return all(row.module in ATTENTION for row in graph.rows[slip.read + 1 : slip.meant + 1])


def head_joins(context: Context) -> Iterator[Finding]:
    """A head that reads a Concat or an Upsample: maps that no block has mixed."""
    graph = context.graph
    if graph and len(graph.rows) > 1:
        found = {
            slip.position: slip
            for slip in wiring.early(graph, context.sizes)
            if slip.reader is graph.rows[-1]
        }
        for position, source in enumerate(graph.rows[-1].inputs):
            if source >= 0 and graph.rows[source].module in JOINS:
                slip = found.get(position, Slip(graph.rows[-1], position, source, -1))
                yield _slip(
                    context,
                    graph,
                    slip,
                    "head",
                    "a map that is only joined or resized, by no block worked on",
                )


def bypassed(context: Context) -> Iterator[Finding]:
    """A path that takes a map before the attention on it."""
    if context.graph:
        graph = context.graph
        slips = [
            slip for slip in wiring.early(graph, context.sizes) if _past_attention(graph, slip)
        ]
        for slip in [*slips, *wiring.passing(graph)]:
            yield _slip(
                context,
                graph,
                slip,
                "bypass",
                f"passes by the attention in {named(graph, slip.meant)}",
            )


def left_behind(context: Context) -> Iterator[Finding]:
    """A number that names the right row once the inserted attention rows are not counted."""
    if context.graph:
        for slip in [
            *wiring.early(context.graph, context.sizes),
            *wiring.unlike(context.graph, context.sizes),
        ]:
            inserted = _inserted(context.graph, slip, context)
            if inserted and slip.meant >= 0:
                why = f"the number was not moved when {inserted}, came in"
                yield _slip(context, context.graph, slip, "shift", why)


def half_stage(context: Context) -> Iterator[Finding]:
    """A skip that takes a row before its stage's end, whatever the reason."""
    if context.graph:
        for slip in wiring.early(context.graph, context.sizes):
            why = f"its stage goes on at the same size to {named(context.graph, slip.meant)}"
            yield _slip(context, context.graph, slip, "stage", why)


def wrong_size(context: Context) -> Iterator[Finding]:
    """A Concat of maps that differ in size, which stops the graph."""
    if context.graph:
        for slip in wiring.unlike(context.graph, context.sizes):
            high, wide = context.sizes[slip.read]
            why = f"{high}x{wide} for a image of {context.side} px, unlike the others that it joins"
            yield _slip(context, context.graph, slip, "size", why)


def level_order(context: Context) -> Iterator[Finding]:
    """Two levels of the head at one stride, or levels in another order than their anchors."""
    if context.graph:
        for slip in wiring.levels(context.graph, context.sizes):
            why = "the levels do not get coarser one by one, with their anchors"
            yield _slip(context, context.graph, slip, "levels", why)


def forgotten_level(context: Context) -> Iterator[Finding]:
    """A head that reads an earlier row of a level whose last row nobody reads."""
    if context.graph:
        for slip in wiring.forgotten(context.graph, context.sizes):
            why = f"nobody reads {named(context.graph, slip.meant)}, of the same size"
            yield _slip(context, context.graph, slip, "level", why)


def read_twice(context: Context) -> Iterator[Finding]:
    """A row that reads another twice."""
    if context.graph:
        for slip in wiring.doubled(context.graph):
            yield _slip(
                context,
                context.graph,
                slip,
                "twice",
                f"twice, `from` being {shorten(slip.reader.source)}",
            )


def unread(context: Context) -> Iterator[Finding]:
    """An output that nobody reads."""
    for row in unread_rows(context.graph) if context.graph else ():
        meant = "a row behind reads it, or it goes and the numbers behind it move"
        yield context.finding(row.index, "unread", f"nobody reads this {row.module}", meant)


def no_gradient(context: Context) -> Iterator[Finding]:
    """Parameters that get no gradient, since only rows that nobody reads use them."""
    if context.graph:
        for index in wiring.dead_branches(context.graph):
            what = (
                f"no way leads from this {context.graph.rows[index].module} to the head: its"
                " weights get no gradient"
            )
            yield context.finding(index, "gradient", what)


def attention_arguments(context: Context) -> Iterator[Finding]:
    """Arguments of attention in the wrong slot: channel counts as options, or counts that are not
    the real ones.
    """
    for row in context.graph.rows if context.graph else ():
        if row.module not in ATTENTION or context.graph is None:
            continue
        prefix = f"{context.file}: row {row.index}: "
        notes = [
            note.removeprefix(prefix)
            for note in context.notes
            if note.startswith(f"{prefix}{row.module} ")
        ]
        what, better = _misplaced(context.graph, row)
        if not what and notes and isinstance(row.arguments, list) and "declares" in notes[0]:
            better = _without_counts(row.arguments)
        if what or notes:
            fix = None if better is None else Fix("args", row.index, 0, better)
            what = what or notes[0].removeprefix(f"{row.module} ")
            yield context.finding(
                row.index,
                "arguments",
                f"{row.module} {what}",
                "" if better is None else shorten(better),
                fix,
            )


def _misplaced(graph: Graph, row: Row) -> tuple[str, Any]:
    """What is wrong with an attention row's options whatever the map is, and better arguments."""
    kind, given = ATTENTION[row.module], row.arguments
    values = (
        {name: graph.interpret(value) for name, value in given.items()}
        if isinstance(given, dict)
        else {}
    )
    if isinstance(given, list):
        try:
            values = read_list(kind, [graph.interpret(value) for value in given], 0, graph.scaled)[
                0
            ]
        except (ValueError, TypeError):
            return "", None
    if values.get("c_n") == 1 and "c_n" in options(kind):
        return f"{shorten(given)}: c_n = 1 makes all pixels of the output equal", {}
    for name, value in values.items():
        is_count = is_whole(value) and value > LARGEST_OPTION and name not in COUNTS
        if is_count or (name == "e_lambda" and is_whole(value) and value >= SMALLEST_COUNT):
            what = f"{shorten(given)}: {name} = {value} looks like a channel count"
            if isinstance(given, dict):
                return what, {key: other for key, other in given.items() if key != name}
            return what, [other for other in given if graph.interpret(other) != value]
    return "", None


def _without_counts(values: list[Any]) -> list[Any]:
    """A list of arguments without the channel counts in front."""
    rest = list(values)
    first = rest.pop(0)
    return rest[1:] if rest[:1] == [first] else rest


def block_arguments(context: Context) -> Iterator[Finding]:
    """Arguments of other rows in the wrong slot: both channel counts, as in the constructor, where
    only one belongs.
    """
    for row in context.graph.rows if context.graph else ():
        given = row.arguments
        if not isinstance(given, list) or len(given) < 2 or not is_whole(given[1]):
            continue
        name = row.module
        if name in KERNELS and given[1] > LARGEST_KERNEL:
            what = (
                f"{name} {shorten(given)}: {given[1]} is read as the kernel's side; the first"
                " number is channels out"
            )
        elif _takes_switch(name) and given[1] not in (0, 1):
            what = (
                f"{name} {shorten(given)}: {given[1]} is read as the switch behind the channels,"
                " True or False"
            )
        else:
            continue
        better = given[1:] if given[1] >= SMALLEST_COUNT else [given[0], *given[2:]]
        yield context.finding(
            row.index, "arguments", what, shorten(better), Fix("args", row.index, 0, better)
        )


def _takes_switch(name: str) -> bool:
    """Whether a block's first argument behind its channels and repeats is True or False."""
    layer = LAYERS.get(name)
    if layer is None or not layer.repeats:
        return False
    parameters = list(inspect.signature(layer.kind.__init__).parameters.values())
    return len(parameters) > 4 and isinstance(parameters[4].default, bool)


def unused_keys(context: Context) -> Iterator[Finding]:
    """Keys at the top of the file that nothing reads: slips of the pen, or depth and width beside
    scales.
    """
    content = context.content
    try:
        unread_bins = BIN_KEYS if family_of(content).has_anchors else ()
    except RecursionError:
        unread_bins = ()
    for key in content:
        if key not in KEYS:
            close = get_close_matches(
                str(key), [name for name in KEYS if name not in content], n=1, cutoff=0.75
            )
            fix = Fix("key", -1, key, close[0]) if close and isinstance(key, str) else None
            meant = f"`{close[0]}`" if close else "nothing; leave the line out"
            yield context.finding(
                -1, "key", f"`{shorten(key)}`: nothing reads this key", meant, fix
            )
        elif key in unread_bins:
            yield context.finding(-1, "key", f"`{key}`: a head with anchors does not read this key")
        elif key in MULTIPLES and "scales" in content:
            what = f"`{key}`: {shorten(content[key])}: does nothing next to scales"
            yield context.finding(
                -1, "scale", what, "one of scales, by the file's name", Fix("key", -1, key, None)
            )


def stopped(context: Context) -> Iterator[Finding]:
    """What keeps the graph from being built or from running."""
    if context.error:
        text = context.error.removeprefix(f"{context.file}: ")
        row = re.match(r"row (\d+): ", text)
        what = text[row.end() :] if row else text
        yield context.finding(int(row[1]) if row else -1, "error", what)


WIRING: Mapping[str, Rule] = MappingProxyType({
    "head fed by a join": head_joins,
    "attention passed by": bypassed,
    "number left behind": left_behind,
    "skip before a stage's end": half_stage,
    "sizes that differ": wrong_size,
    "order of the levels": level_order,
    "level that nobody reads": forgotten_level,
    "row read twice": read_twice,
    "output that nobody reads": unread,
    "parameters without gradient": no_gradient,
})  # fmt: skip
RULES: Mapping[str, Rule] = MappingProxyType({
    **WIRING,
    "attention's arguments": attention_arguments,
    "blocks' arguments": block_arguments,
    "unused keys": unused_keys,
    "what stops the graph": stopped,
})  # fmt: skip


def apply_rules(context: Context, rules: Mapping[str, Rule] = RULES) -> list[Finding]:
    """All findings, but one for each reference, and no bare error for a row that a finding
    explains.
    """
    found: dict[object, Finding] = {}
    for rule in rules.values():
        for finding in rule(context):
            fix = finding.fix
            place: object = (
                (fix.part, fix.row, fix.position)
                if fix
                else (finding.row, finding.rule, finding.what)
            )
            if fix is None and finding.rule in ("head", "size", "levels", "twice"):
                place = (finding.row, finding.what.split(":")[0])
            told = {other.rule for other in found.values() if other.row == finding.row}
            explained = bool(told & set(EXPLAINED.get(finding.rule, ())))
            if not explained:
                found.setdefault(place, finding)
    return list(found.values())
