"""What the names in a graph's rows stand for, and what their arguments mean.

models/yolo.py's parse_model asks here for each row of a Graph (read.py); the blocks come from
models/common.py, models/blocks and torch.nn.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from models import common
from models.attention import ATTENTION, ATTENTION_INITS, build_attention, closest
from models.attention._arguments import read_list
from models.blocks import rare, v8
from models.graph.read import Graph, Row
from models.graph.values import LARGEST, is_whole, shorten
from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV8
from utils.errors import UserError
from utils.seeds import torch_stream

BAD_ARGUMENTS = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AssertionError,
    AttributeError,
)


@dataclass(frozen=True, slots=True)
class Layer:
    """What a module's name in YAML stands for.

    rule: "stack" builds (c1, c2, …) and sets the channels to c2; "concat" adds channels up; "keep"
    takes the arguments as they are and keeps the channels; "norm" keeps them and is told their
    number; "attention" is built by the registry (kind None); "head" is the last row. repeats: a
    stack that takes the number of repeats itself. gain: channels out for channels in and the
    arguments.
    """

    kind: type[nn.Module] | None
    rule: str
    repeats: bool = False
    gain: Callable[[int, list[Any]], int] = lambda channels, arguments: channels


def _area(arguments: list[Any]) -> int:
    """How many pixels Contract or Expand make of one, or one of so many; 2x2 unless the row says
    otherwise.
    """
    gain = arguments[0] if arguments else 2
    if len(arguments) > 1 or not is_whole(gain) or gain < 1:
        raise ValueError("takes one whole number, the gain, 1 or more")
    return gain**2


ATTENTION_LAYER = Layer(None, "attention")
STACKS = (
    common.Conv,
    common.DWConv,
    common.Bottleneck,
    common.SPPF,
    rare.GhostConv,
    rare.GhostBottleneck,
    rare.SPP,
    rare.MixConv2d,
    rare.Focus,
    rare.CrossConv,
    rare.C3SPP,
    rare.DWConvTranspose2d,
)
REPEATING = (common.C3, rare.C3TR, rare.C3Ghost, rare.C3x, rare.BottleneckCSP, v8.C2, v8.C2f,
             v8.C3k, v8.C3k2, v8.C2PSA)  # fmt: skip
DEEP_SCALES = ("m", "l", "x")  # whose C3k2 rows are all built of C3k
KEEPING = (
    nn.Upsample,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.Dropout,
    nn.Dropout2d,
)
LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        **{kind.__name__: Layer(kind, "stack") for kind in STACKS},
        **{kind.__name__: Layer(kind, "stack", repeats=True) for kind in REPEATING},
        **{f"nn.{kind.__name__}": Layer(kind, "keep") for kind in KEEPING},
        **{f"nn.{name}": Layer(kind, "keep") for name, kind in common.ACTIVATIONS.items()},  # type: ignore[arg-type]
        "nn.ConvTranspose2d": Layer(nn.ConvTranspose2d, "stack"),
        "nn.BatchNorm2d": Layer(nn.BatchNorm2d, "norm"),
        "Contract": Layer(
            rare.Contract, "keep", gain=lambda channels, arguments: channels * _area(arguments)
        ),
        "Expand": Layer(
            rare.Expand, "keep", gain=lambda channels, arguments: channels // _area(arguments)
        ),
        "Concat": Layer(common.Concat, "concat"),
        "Detect": Layer(Detect, "head"),
    }
)


@contextlib.contextmanager
def blame(graph: Graph, row: Row) -> Iterator[None]:
    """Let an error inside the block name the file and the row that it comes from, as a UserError."""
    where = f"{graph.file}: row {row.index}: {shorten(row.module)} {shorten(row.arguments)}"
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except BAD_ARGUMENTS as error:
        reason = shorten(str(error) or type(error).__name__)
        raise UserError(
            f"{where}: {reason}; check the row's arguments and what it reads"
        ) from error


def find_layer(graph: Graph, row: Row) -> Layer:
    """The entry of LAYERS for a row, or ATTENTION_LAYER, after checking that its place and inputs
    suit it.
    """
    layer = LAYERS.get(row.module.removeprefix("torch."), ATTENTION_LAYER)
    if layer is ATTENTION_LAYER and row.module not in ATTENTION:
        hint = closest(row.module, [*LAYERS, *ATTENTION])
        raise UserError(
            "there is no module of this"
            f" name{hint or '; see LAYERS in models/graph/layers.py and models/attention/'}"
        )
    takes_list = layer.rule in ("concat", "head")
    if takes_list != isinstance(row.source, list):
        raise UserError(
            f"from {row.source}: takes"
            f" {'a list of rows, such as [-1, 6]' if takes_list else 'one row, such as -1'}"
        )
    if takes_list and row.repeats != 1:
        raise UserError(f"number {row.repeats}: must be 1 here")
    if (layer.rule == "head") != (row is graph.rows[-1]):
        raise UserError(
            "the head, such as Detect, must be the last row, and only the last; move or add it"
        )
    return layer


def row_arguments(graph: Graph, row: Row) -> Any:
    """The row's list or mapping, text replaced by what it stands for."""
    if isinstance(row.arguments, dict):
        if row.module not in ATTENTION:
            raise UserError("only attention rows take a mapping; write a list")
        return {name: graph.interpret(value) for name, value in row.arguments.items()}
    values = [graph.interpret(value) for value in row.arguments]
    is_activation = [
        isinstance(value, str) and value.startswith(("nn.", "torch.nn.")) for value in values
    ]
    return [
        common.make_activation(value) if found else value
        for value, found in zip(values, is_activation, strict=True)
    ]


def stack_width(graph: Graph, args: list[Any]) -> int:
    """Output channels of a stack row: its first argument at the graph's width."""
    width: Any = args[0] if args else None
    if not is_whole(width) or width < 1:
        raise UserError(
            "the first argument must be the number of output channels, a whole number above 0"
        )
    is_heads = (
        graph.family == "v5" and width == graph.head_width
    )  # YOLOv5 never scales a count of just this value
    width = width if is_heads else graph.scaled(width)
    if width > LARGEST:
        raise UserError(f"{width} channels at this width_multiple are too many; at most {LARGEST}")
    return width


def stack_arguments(graph: Graph, row: Row, args: list[Any]) -> list[Any]:
    """Arguments as the block takes them, c1, c2, number, …, with YOLO11's rule for its deeper
    scales.
    """
    if row.module == "C3k2" and graph.scale in DEEP_SCALES:
        return [*args[:3], True, *args[4:]]
    return args


def kind_of(layer: Layer, graph: Graph) -> type[nn.Module] | None:
    """The class of a row; a head without anchors is another one under the same name."""
    return DetectV8 if layer.rule == "head" and graph.family == "v8" else layer.kind


def head_arguments(graph: Graph, row: Row, args: list[Any], incoming: list[int]) -> list[Any]:
    """Arguments of Detect; the row may only repeat what the top of the file says.

    A C3k2 row anywhere makes the class branch depth-wise, by YOLOv8's rule, unless the graph says
    otherwise.
    """
    if graph.family == "v8":
        if args != [graph.class_count]:
            raise UserError(
                "a head without anchors takes its classes from the top of the file; write [nc]"
            )
        depthwise = any(other.module == "C3k2" for other in graph.rows)
        depthwise = graph.class_branch == "depthwise" if graph.class_branch else depthwise
        return [
            graph.class_count,
            graph.reg_max,
            incoming,
            depthwise,
            graph.box_bias,
            graph.class_width,
        ]
    if len(args) != 2 or args[0] != graph.class_count or args[1] != "anchors":
        raise UserError(
            "the head takes its classes and anchors from the top of the file; write [nc, anchors], "
            "or take out `anchors` for a head that has none"
        )
    if not isinstance(graph.anchors, int) and len(graph.anchors) != len(incoming):
        raise UserError(
            f"from {row.source}: reads {len(incoming)} maps, but anchors has {len(graph.anchors)}"
            " levels; match them"
        )
    return [graph.class_count, graph.anchors_per_level, incoming]


def attention_options(
    graph: Graph, row: Row, args: Any, width: int
) -> tuple[dict[str, Any], list[str]]:
    """Keyword arguments of an attention row, and a warning if it declares other channels than it
    gets.
    """
    found, note = (
        (args, "")
        if isinstance(args, dict)
        else read_list(ATTENTION[row.module], args, width, graph.scaled)
    )
    notes = [_note(graph, row, f"{shorten(args)}: {note}")] if note else []
    return {
        **({"init": graph.attention_init} if graph.attention_init != ATTENTION_INITS[0] else {}),
        **found,
    }, notes


def fill_bottlenecks(graph: Graph, row: Row, copies: list[nn.Module], seed: int) -> list[str]:
    """Build what the row wants inside its bottlenecks, each from a stream named by its key; returns
    warnings.

    Raises UserError for a row without bottlenecks, or for attention that changes the number of
    channels.
    """
    if row.inside is None:
        return []
    notes: list[str] = []
    module: nn.Module = copies[0] if len(copies) == 1 else nn.ModuleList(copies)
    blocks = [
        (name, block)
        for name, block in module.named_modules()
        if isinstance(block, common.Residual)
    ]
    if not blocks:
        raise UserError(
            f"inside: {row.module} has no bottlenecks; put the attention into a row of its own"
        )
    found = {name: graph.interpret(value) for name, value in row.inside.items() if name != "inside"}
    kind, options = row.inside["inside"], {"init": graph.attention_init, **found}
    for name, block in blocks:
        key = ".".join(filter(None, ("model", row.key, name, "attention")))
        with torch_stream(seed, key), collect_warnings(graph, row, notes):
            block.attention = build_attention(kind, block.outputs, **options)
        if getattr(block.attention, "out_channels", block.outputs) != block.outputs:
            raise UserError(
                "inside: must keep the number of channels in a bottleneck; leave out_channels out"
            )
    return list(dict.fromkeys(notes))


@contextlib.contextmanager
def collect_warnings(graph: Graph, row: Row, notes: list[str]) -> Iterator[None]:
    """Add what attention modules warn of inside the block to notes, with the file and the row."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    ours = [warning for warning in caught if Path(warning.filename).parent.name == "attention"]
    notes += [_note(graph, row, f"{shorten(row.arguments)}: {warning.message}") for warning in ours]


def _note(graph: Graph, row: Row, text: str) -> str:
    return f"{graph.file}: row {row.index}: {row.module} {text}"


def attention_width(row: Row, copies: list[nn.Module], width: int) -> int:
    """Channels that an attention row gives.

    Raises UserError for repeats of a module that changes them.
    """
    out = getattr(copies[0], "out_channels", width)
    if out != width and len(copies) > 1:
        raise UserError(
            f"number {row.repeats}: must be 1 where the number of channels changes, {width} to"
            f" {out} here"
        )
    return out
