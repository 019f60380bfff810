"""Rows become modules: one function for each rule of the table of layers (models/graph/layers.py).

parse_model in models/yolo.py calls build_row for the rows of that table. For rows of attention it
calls models/graph/attend.py. All functions raise UserError, or one of BAD_ARGUMENTS, which blame()
turns into one that names file and row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import nn
from torch.nn.parameter import is_lazy

from models.activations import make_activation
from models.attention import ATTENTION
from models.attention._names import same_meaning
from models.graph.block_names import suggest_inside
from models.graph.entries import BuildRule, Layer
from models.graph.head_row import head_arguments, head_class
from models.graph.info import RowInfo, attach
from models.graph.layers import JOIN_RULES, LAYERS, layer_named
from models.graph.structure import Graph, Row
from models.graph.values import MOST, is_whole, shorten
from models.own.adapter import own_kind
from models.own.registry import OWN, own_named
from utils.errors import UserError

# Errors that blocks raise when a row's arguments do not suit them: their constructors get the
# arguments of the YAML unchecked.
BAD_ARGUMENTS = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AssertionError,
    AttributeError,
)
DEEP_SCALES = ("m", "l", "x")  # of YOLO11, whose C3k2 rows are built of C3k at these scales
LARGE_SCALES = ("l", "x")  # of YOLO12, whose A2C2f rows get these arguments at these scales
LARGE_A2C2F = (True, 1, True, 1.2)  # a2, area, residual, mlp_ratio, where the row has none

OTHER_TASKS = MappingProxyType(
    {
        "Segment": "segmentation",
        "YOLOESegment": "segmentation",
        "Pose": "keypoints",
        "OBB": "rotated boxes",
        "Classify": "classification",
        "WorldDetect": "detection by words",
        "YOLOEDetect": "detection by words",
        "RTDETRDecoder": "detection by a transformer",
    }
)


@dataclass(frozen=True, slots=True)
class BuiltRow:
    """The result of building a row.

    Attributes:
        copies: the modules that run one after the other, almost always one.
        width: output channels.
        arguments: what the modules were built with, for the table of rows.
        warnings: what looks wrong but runs.
    """

    copies: list[nn.Module]
    width: int
    arguments: Sequence[object]
    warnings: list[str] = field(default_factory=list)


@contextlib.contextmanager
def blame(graph: Graph, row: Row) -> Iterator[None]:
    """Turn an error inside the block into a UserError that names the file and the row."""
    name = shorten(row.alias or row.module)
    where = f"{graph.file}: row {row.index}: {name} {shorten(row.arguments)}"
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except BAD_ARGUMENTS as error:
        reason = shorten(str(error) or type(error).__name__)
        raise UserError(
            f"{where}: {reason}; check the row's arguments and what it reads"
        ) from error


def find_layer(graph: Graph, row: Row) -> Layer | None:
    """The entry of LAYERS for a row; None for attention and for an unknown name.

    Raises UserError for a row whose inputs or place do not suit it.
    """
    layer = layer_named(row.module, row.arguments)
    if layer is None and row.module not in ATTENTION:
        return None
    own = own_named(row.module)
    if own and row is not graph.rows[-1]:
        # A person's class says itself what it reads: one map or a list.
        return layer or (Layer(own_kind(own), "own") if isinstance(row.source, list) else None)
    rule = layer.rule if layer else ""
    takes_list = rule in (*JOIN_RULES, "head")
    if takes_list != isinstance(row.source, list) and not own:
        wanted = "a list of rows, such as [-1, 6]" if takes_list else "one row, such as -1"
        raise UserError(f"from {row.source}: takes {wanted}")
    if takes_list and row.repeats != 1:
        raise UserError(f"number {row.repeats}: must be 1 here")
    if (rule == "head") != (row is graph.rows[-1]):
        raise UserError(
            "the head, such as Detect, must be the last row, and only the last; move or add it"
        )
    return layer


def unknown_module(name: str) -> UserError:
    """The error for a row whose module is neither in LAYERS nor attention."""
    if name in OTHER_TASKS:
        return UserError(
            f"is the head of another task ({OTHER_TASKS[name]}), but this project detects boxes;"
            " end the graph with Detect"
        )
    block, _, module = name.rpartition("_")
    if block and module in ATTENTION:
        return UserError(
            f"there is no module of this name; for {module} in each bottleneck of a block write"
            f" the block's own name, such as C3, and {{inside: {module}}} at the end of its list"
        )
    hint = same_meaning(name, [*LAYERS, *OWN], ATTENTION) or suggest_inside(name)
    known = "; see LAYERS in models/graph/layers.py and models/attention/"
    own = "; a class of your own needs --modules FILE.py"
    return UserError(f"there is no module of this name{hint or known}{own}")


def row_arguments(graph: Graph, row: Row) -> list[object]:
    """The row's list of arguments, each one interpreted by argument_of().

    Raises UserError for a mapping.
    """
    if isinstance(row.arguments, dict):
        raise UserError("only attention rows take a mapping; write a list")
    return [argument_of(graph, value) for value in row.arguments]


def argument_of(graph: Graph, written: object) -> object:
    """The meaning of one argument: an activation for text such as nn.ReLU(), else a value."""
    value = graph.interpret(written)
    if isinstance(value, str) and value.startswith(("nn.", "torch.nn.")):
        return make_activation(value)
    return value


def build_row(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """The modules of a row of the table of layers.

    Args:
        graph: the graph of the row.
        row: the row to build.
        layer: its entry in the table.
        incoming: channels of each map that it reads.

    Returns:
        The modules, with their output channels.

    Raises:
        UserError: The arguments do not suit the rule.
        BAD_ARGUMENTS: They do not suit the module.
    """
    return ROW_BUILDERS[layer.rule](graph, row, layer, incoming)


def _build_stack(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """A block of (c1, c2, …) or (c1, c2, repeats, …), its output channels at the graph's width."""
    given = row_arguments(graph, row)
    width = stack_width(graph, given)
    count = 1 if (row.inside or {}).get("repeat") == "block" else row.repeats
    inner = [count] if layer.repeats else []
    args = [incoming[0], width, *inner, *given[1:]]
    # The rows of YOLO11's and YOLO12's YAML are those of their small scales.
    if row.module == "C3k2" and graph.scale in DEEP_SCALES:
        args = [*args[:3], True, *args[4:]]
    if row.module == "A2C2f" and graph.scale in LARGE_SCALES:
        args += LARGE_A2C2F[len(args) - 3 :]
    copies = row.repeats // count if inner else row.repeats
    return BuiltRow(_copies(layer.kind, args, copies), width, args)


def stack_width(graph: Graph, args: Sequence[object]) -> int:
    """Output channels of a stack row: its first argument at the graph's width."""
    width = args[0] if args else None
    if not is_whole(width) or width < 1:
        raise UserError(
            "the first argument must be the number of output channels, a whole number above 0"
        )
    # YOLOv5 does not scale a row that is as wide as the head's raw maps, and its weights need that.
    is_heads = graph.family.keeps_head_width and width == graph.head_width
    width = width if is_heads else graph.scaled(width)
    if width > MOST:
        raise UserError(f"{width} channels at this width_multiple are too many; at most {MOST}")
    return width


def _build_concat(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    args = row_arguments(graph, row)
    return BuiltRow(_copies(layer.kind, args), sum(incoming), args)


def _build_fuse(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """A module of (channels of all inputs, *arguments), which says its own output channels."""
    args = [list(incoming), *row_arguments(graph, row)]
    return _with_own_width(row, layer, args)


def _build_fuse_to(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """A module of (channels of all inputs, c2, …), c2 at the graph's width."""
    given = row_arguments(graph, row)
    args = [list(incoming), stack_width(graph, given), *given[1:]]
    return _with_own_width(row, layer, args)


def _build_same(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """A module of (c1, *arguments), which keeps the channels or says how many it gives."""
    return _with_own_width(row, layer, [incoming[0], *row_arguments(graph, row)])


def _with_own_width(row: Row, layer: Layer, args: list[object]) -> BuiltRow:
    """The modules of these arguments; their attribute `out_channels` is the row's width, or c1."""
    copies = _copies(layer.kind, args, row.repeats)
    width = getattr(copies[0], "out_channels", args[0])
    assert isinstance(width, int)
    if row.repeats > 1 and width != args[0]:
        raise UserError(
            f"number {row.repeats}: must be 1 where the number of channels changes, {args[0]} to"
            f" {width} here"
        )
    return BuiltRow(copies, width, args)


def _build_keep(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    args = row_arguments(graph, row)
    width = layer.gain(incoming[0], args)
    return BuiltRow(_copies(layer.kind, args, row.repeats), width, args)


def _build_norm(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """A norm of the channels that it reads. The arguments that the row gives are ignored."""
    row_arguments(graph, row)  # only to refuse a mapping
    args = [incoming[0]]
    return BuiltRow(_copies(layer.kind, args, row.repeats), incoming[0], args)


def _build_head(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    args = head_arguments(graph, row, row_arguments(graph, row), incoming)
    return BuiltRow(_copies(head_class(graph, row, layer), args), incoming[0], args)


Builder = Callable[[Graph, Row, Layer, Sequence[int]], BuiltRow]
ROW_BUILDERS: Mapping[BuildRule, Builder] = MappingProxyType(
    {
        "stack": _build_stack,
        "concat": _build_concat,
        "fuse": _build_fuse,
        "fuse to": _build_fuse_to,
        "keep": _build_keep,
        "same": _build_same,
        "norm": _build_norm,
        "head": _build_head,
    }
)


def _copies(kind: type[nn.Module], args: Sequence[object], count: int = 1) -> list[nn.Module]:
    return [kind(*args) for _ in range(count)]


def finish_row(row: Row, built: BuiltRow) -> nn.Module:
    """A row's copies as one module with its RowInfo."""
    copies, kind = built.copies, type(built.copies[0])
    module = copies[0] if len(copies) == 1 else nn.Sequential(*copies)
    is_attention = row.module in ATTENTION
    shown = [*built.arguments, row.inside] if row.inside else built.arguments
    info = RowInfo(
        index=row.index,
        source=row.source,
        key=row.key,
        width=built.width,
        kind=kind,
        module=kind.__name__ if is_attention else f"{kind.__module__}.{kind.__name__}",
        parameters=sum(one.numel() for one in module.parameters() if not is_lazy(one)),
        repeats=row.repeats,
        arguments=shorten(shown),
    )
    return attach(module, info)
