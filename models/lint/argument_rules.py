"""The rules about the arguments of rows, listed in ARGUMENT_RULES.

They look for channel counts in the places of other arguments, the usual fault of rows that were
copied from a constructor call. models/lint/rules.py applies the rules.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from models.attention import ATTENTION
from models.attention._arguments import SMALLEST_COUNT, read_list
from models.attention._registry import options
from models.graph.layers import layer_named
from models.graph.structure import Graph, Row
from models.graph.values import Arguments, is_whole, shorten
from models.lint.finding import Fix, LintContext, LintFinding
from models.lint.wiring_rules import GraphRule
from models.own.registry import own_named

# An option of attention is a ratio, a kernel or a group count. A larger number than this one is a
# channel count, unless the option is one of COUNTS.
LARGEST_OPTION = 64
COUNTS = ("c_m", "c_n", "out_channels", "spatial_shape")
LARGEST_KERNEL = 31


def attention_arguments(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """Channel counts among the options of attention, or counts that are not the real ones."""
    for row in graph.rows:
        # Nothing is known about the usual values of a person's own class.
        if row.module not in ATTENTION or own_named(row.module):
            continue
        what, better = _misplaced(graph, row)
        notes = _notes_of(row, context)
        if not what and notes and isinstance(row.arguments, list) and "declares" in notes[0]:
            better = _without_counts(row.arguments)
        if what or notes:
            fix = None if better is None else Fix("args", row.index, 0, better)
            meant = "" if better is None else shorten(better)
            what = f"{row.module} {what or notes[0]}"
            yield context.finding(row.index, "arguments", what, meant, fix)


def _notes_of(row: Row, context: LintContext) -> list[str]:
    """The warnings from building an attention row, without file, row and module."""
    prefix = f"{context.file}: row {row.index}: {row.module} "
    return [note.removeprefix(prefix) for note in context.notes if note.startswith(prefix)]


def _misplaced(graph: Graph, row: Row) -> tuple[str, Arguments | None]:
    """A fault of an attention row's options that does not depend on the map, and better arguments.

    Returns ("", None) if there is none.
    """
    kind, given = ATTENTION[row.module], row.arguments
    try:
        values = _options_of(graph, row)
    except (ValueError, TypeError):  # building the row reports it
        return "", None
    if values.get("c_n") == 1 and "c_n" in options(kind):
        return f"{shorten(given)}: c_n = 1 makes all pixels of the output equal", {}
    for name, value in values.items():
        # SimAM's e_lambda is about 1e-4, so a whole number of this size there is a count.
        is_count = is_whole(value) and value > LARGEST_OPTION and name not in COUNTS
        if is_count or (name == "e_lambda" and is_whole(value) and value >= SMALLEST_COUNT):
            what = f"{shorten(given)}: {name} = {value} looks like a channel count"
            if isinstance(given, dict):
                return what, {key: other for key, other in given.items() if key != name}
            return what, [other for other in given if graph.interpret(other) != value]
    return "", None


def _options_of(graph: Graph, row: Row) -> dict[str, object]:
    """The keyword arguments that an attention row stands for.

    Raises ValueError or TypeError for a list that the module does not take.
    """
    if isinstance(row.arguments, dict):
        return {name: graph.interpret(value) for name, value in row.arguments.items()}
    values = [graph.interpret(value) for value in row.arguments]
    return read_list(ATTENTION[row.module], values, 0, graph.scaled)[0]


def _without_counts(values: Sequence[object]) -> list[object]:
    """A list of arguments without the channel counts at its start."""
    first, *rest = values  # [512, …] or, as tutorials write it for c1 and c2, [512, 512, …]
    return rest[1:] if rest[:1] == [first] else rest


def block_arguments(graph: Graph, context: LintContext) -> Iterator[LintFinding]:
    """Both channel counts of the constructor in a row that takes only the output's."""
    for row in graph.rows:
        given, name = row.arguments, row.module
        if not isinstance(given, list) or len(given) < 2 or not is_whole(given[1]):
            continue
        if _takes_kernel(name) and given[1] > LARGEST_KERNEL:
            slot = "side of the kernel; the first number is the number of output channels"
        elif _takes_switch(name) and given[1] not in (0, 1):
            slot = "switch after the channels, True or False"
        else:
            continue
        what = f"{row.alias or name} {shorten(given)}: {given[1]} is read as the {slot}"
        # [64, 128, …] has both counts, so the first is removed. In [128, 3, …] the second was a
        # number of repeats, which has its own column.
        better = given[1:] if given[1] >= SMALLEST_COUNT else [given[0], *given[2:]]
        if row.inside:
            better = [*better, dict(row.inside)]
        fix = Fix("args", row.index, 0, better)
        yield context.finding(row.index, "arguments", what, shorten(better), fix)


def _takes_kernel(name: str) -> bool:
    """Whether the argument after a block's output channels is the side of its kernel.

    Blocks that take a list of kernels there do not count: building them with a number fails.
    """
    parameter = _second_argument(name)
    return (
        parameter is not None
        and parameter.name.startswith("kernel")
        and (is_whole(parameter.default) or parameter.default is inspect.Parameter.empty)
    )


def _takes_switch(name: str) -> bool:
    """Whether the argument after a block's output channels is True or False."""
    layer, parameter = layer_named(name), _second_argument(name)
    return bool(layer and layer.repeats and parameter and isinstance(parameter.default, bool))


def _second_argument(name: str) -> inspect.Parameter | None:
    """The constructor's parameter for the second argument in YAML, after the output channels.

    The constructor takes (self, inputs, outputs, …), or (self, inputs, outputs, repeats, …).
    """
    layer = layer_named(name)
    if layer is None or layer.rule != "stack":
        return None
    parameters = list(inspect.signature(layer.kind.__init__).parameters.values())
    return next(iter(parameters[4 if layer.repeats else 3 :]), None)


ARGUMENT_RULES: Mapping[str, GraphRule] = MappingProxyType(
    {"arguments of attention": attention_arguments, "arguments of blocks": block_arguments}
)
