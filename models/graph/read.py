"""A model YAML, read: every value checked, every reference resolved, every row given its state-dict
key.

The dictionary comes from a file (load_graph) or a checkpoint; the Graph goes to parse_model in
models/yolo.py, which may rely on its types. One format serves two families: v5 has anchors, v8 has
none. Nothing in the YAML is evaluated: names are looked up in tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.attention import ATTENTION, ATTENTION_INITS
from models.graph.rows import MOST_ROWS, check_row
from models.graph.scales import MULTIPLES, choose_scale, find_graph, read_scale
from models.graph.stages import Step, factor_of, stride_after, to_numbers
from models.graph.values import LARGEST, Values, as_number, is_number, is_whole, shorten
from utils.errors import UserError
from utils.files import ROOT, load_yaml

ALWAYS = (
    "nc",
    "backbone",
    "head",
)  # what every graph needs; the anchor family needs ANCHOR_KEYS too
ANCHOR_KEYS = ("anchors", *MULTIPLES)
BIN_KEYS = (
    "reg_max",
    "box_bias",
    "class_branch",
    "class_width",
)  # only the other family reads them
KEYS = (
    *ALWAYS,
    *ANCHOR_KEYS,
    *BIN_KEYS,
    "activation",
    "attention_init",
    "channel_multiple",
    "ch",
    "inplace",
    "scale",
    "scales",
    "yaml_file",
)
MOST_REPEATS, MOST_CLASSES, MOST_BINS = 2000, 100_000, 256
BRANCHES = ("dense", "depthwise")  # convolutions of a v8 head's class branch
CONSTANTS = {"None": None, "True": True, "False": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of backbone + head.

    index: its place, which `from` counts. source: its `from` as written, names as the numbers of
    their rows. inputs: rows read, -1 being the image. repeats: after depth scaling. key: its part
    of the state-dict keys. arguments: a list, or a mapping (attention). inside: what the list's
    trailing mapping asks for within each bottleneck.
    """

    index: int
    source: int | list[int]
    inputs: tuple[int, ...]
    repeats: int
    module: str
    arguments: Any
    key: str
    inside: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole graph with checked types.

    family: v5 with anchors, v8 without. scale: in force, "" if the graph has none. max_channels: of
    a row, before the factor width. anchors: per level (w, h) pairs in pixels, or the number wanted
    per level; () in family v8. reg_max: bins of a distance, and box_bias: what its bins' biases
    begin with, in family v8. attention_init: of attention rows that do not say it themselves, paper
    or identity. class_branch, class_width: of a v8 head, "" and 0 for YOLOv8's rule: trained heads
    may have others.
    """

    file: str
    family: str
    class_count: int
    channels: int
    scale: str
    width: float
    max_channels: int
    channel_multiple: int
    anchors: tuple[tuple[tuple[float, float], ...], ...] | int
    reg_max: int
    box_bias: float
    activation: str | None
    attention_init: str
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    class_branch: str = ""
    class_width: int = 0

    @property
    def anchors_per_level(self) -> int:
        return (
            self.anchors
            if isinstance(self.anchors, int)
            else len(self.anchors[0])
            if self.anchors
            else 1
        )

    @property
    def head_width(self) -> int:
        """Channels of a raw map."""
        if self.family == "v8":
            return 4 * self.reg_max + self.class_count
        return self.anchors_per_level * (self.class_count + 5)

    def scaled(self, channels: int) -> int:
        """A channel count of the YAML at this graph's width, capped before, then rounded up to the
        channel multiple.
        """
        width = min(channels, self.max_channels) * self.width
        return math.ceil(width / self.channel_multiple) * self.channel_multiple

    def interpret(self, value: Any) -> Any:
        """An argument's text as what it stands for: a symbol of the graph, a constant, a number, or
        itself.
        """
        symbols = {
            "nc": self.class_count,
            "na": self.anchors_per_level,
            "no": self.head_width,
            "gw": self.width,
        }
        if not isinstance(value, str):
            return value
        return (
            symbols[value]
            if value in symbols
            else CONSTANTS[value]
            if value in CONSTANTS
            else as_number(value)
        )

    def error(self, row: int, value: object, remedy: str) -> UserError:
        """The one line that names file, row, value and remedy."""
        return UserError(f"{self.file}: row {row}: {shorten(value)}: {remedy}")


def unread_rows(graph: Graph) -> list[Row]:
    """Rows before the last whose output no row reads: dead branches, most often a `from` that was
    not adjusted.
    """
    read = {source for row in graph.rows for source in row.inputs}
    return [row for row in graph.rows[:-1] if row.index not in read]


def load_graph(path: str | Path, scale: str = "") -> dict[str, Any]:
    """Read a graph YAML, looked for below models/ too; `yaml_file` in the result is what errors
    will name.

    scale: the entry of its `scales` to use; "" goes by the name, and yolov8s_X.yaml may also stand
    for a file yolov8_X.yaml. Raises UserError when it is missing, no YAML mapping, or has no scales
    to choose from.
    """
    file = find_graph(path).resolve()
    name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    return choose_scale({**load_yaml(file), "yaml_file": str(name)}, scale, path)


def read_graph(content: Mapping[str, Any]) -> Graph:
    """Check a graph's dictionary and resolve it.

    Raises UserError naming file, row, value and remedy.
    """
    file = str(content.get("yaml_file", "model graph"))
    family = family_of(content)
    example = "yolov5s.yaml" if family == "v5" else "yolov8.yaml"
    unread = BIN_KEYS if family == "v5" else ()
    for key in _required(content, family):
        if key not in content:
            raise UserError(
                f"{file}: {key}: is missing; add a line `{key}: …`, see models/{example}"
            )
    whole, real = Values(file, content).whole, Values(file, content).real
    scale = read_scale(file, content)
    activation = content.get("activation")
    if activation is not None and not isinstance(activation, str):
        raise UserError(
            f"{file}: activation: {shorten(activation)}: must be text such as nn.LeakyReLU(0.1)"
        )
    return Graph(
        file=file,
        family=family,
        class_count=whole("nc", MOST_CLASSES),
        channels=whole("ch", LARGEST, 3),
        scale=scale.name,
        width=scale.width,
        max_channels=scale.max_channels,
        channel_multiple=whole("channel_multiple", 1024, 8),
        anchors=read_anchors(file, content["anchors"]) if family == "v5" else (),
        reg_max=whole("reg_max", MOST_BINS, 16, 2),
        box_bias=real("box_bias", 100, 2.0),
        activation=activation,
        attention_init=_choice(
            file, content, "attention_init", ATTENTION_INITS, ATTENTION_INITS[0]
        ),
        rows=_read_rows(file, content, scale.depth),
        warnings=tuple(
            f"{file}: {shorten(key)}: nothing reads this key"
            for key in content
            if key not in KEYS or key in unread
        )
        + scale.warnings,
        class_branch=_choice(file, content, "class_branch", BRANCHES),
        class_width=whole("class_width", LARGEST, 0, 0),
    )


def family_of(content: Mapping[str, Any]) -> str:
    """v5 if the graph has anchors or its last row asks for them, else v8."""
    arguments: Any = content.get("head")
    for _ in range(2):  # the last row, its last part
        arguments = arguments[-1] if isinstance(arguments, list) and arguments else None
    asks = isinstance(arguments, list) and "anchors" in arguments
    return "v5" if asks or "anchors" in content else "v8"


def _required(content: Mapping[str, Any], family: str) -> tuple[str, ...]:
    if family == "v8":
        return ALWAYS
    return (*ALWAYS, "anchors") if "scales" in content else (*ALWAYS, *ANCHOR_KEYS)


def _choice(
    file: str, content: Mapping[str, Any], key: str, known: tuple[str, ...], default: str = ""
) -> str:
    value = content.get(key, default)
    if value not in (*known, default):
        raise UserError(f"{file}: {key}: {shorten(value)}: must be {' or '.join(known)}")
    return value


def read_anchors(file: str, value: Any) -> tuple[tuple[tuple[float, float], ...], ...] | int:
    """Anchors of a YAML: a number per level, or per level a list w, h, w, h … in pixels, as (w, h)
    pairs.
    """
    if is_whole(value) and 1 <= value <= 100:
        return value
    remedy = (
        "must be a number of anchors, or per level a list of width, height, width, height … in"
        " pixels above 0"
    )
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(level, list) for level in value)
    ):
        raise UserError(f"{file}: anchors: {shorten(value)}: {remedy}")
    for level in value:
        numbers_fit = all(is_number(side) and 0 < side <= LARGEST for side in level)
        if (
            not numbers_fit
            or not 2 <= len(level) <= 200
            or len(level) % 2
            or len(level) != len(value[0])
        ):
            raise UserError(
                f"{file}: anchors: {shorten(level)}: {remedy}, the same number on each level"
            )
    return tuple(
        tuple(zip(map(float, level[::2]), map(float, level[1::2]), strict=True)) for level in value
    )


def _read_rows(file: str, content: Mapping[str, Any], depth: float) -> tuple[Row, ...]:
    """Check and number the rows of backbone and head, and name them."""
    for part in ("backbone", "head"):
        if not isinstance(content[part], list) or not 1 <= len(content[part]) <= MOST_ROWS:
            raise UserError(
                f"{file}: {part}: {shorten(content[part])}: must be a list of rows [from, number,"
                " module, args]"
            )
    rows: list[Row] = []
    steps: list[Step] = []
    base = -1
    for index, row in enumerate([*content["backbone"], *content["head"]]):
        source, repeats, module, arguments, inside = check_row(f"{file}: row {index}", row)
        attention = ATTENTION.get(module)
        base += attention is None
        key = (
            str(base)
            if attention is None
            else _attention_key(base, attention.__name__, {row.key for row in rows})
        )
        scaled = max(round(repeats * depth), 1) if repeats > 1 else repeats
        source = to_numbers(f"{file}: row {index}", source, steps)
        inputs = _resolve(file, index, source)
        rows.append(Row(index, source, inputs, scaled, module, arguments, key, inside))
        stride = stride_after(steps, inputs, factor_of(module, arguments, scaled))
        steps.append(
            Step(
                index,
                module,
                inputs,
                stride,
                index < len(content["backbone"]),
                attention is not None,
            )
        )
        if sum(row.repeats for row in rows) > MOST_REPEATS:
            raise UserError(
                f"{file}: row {index}: number {repeats}: too many repeats; at most {MOST_REPEATS}"
                " in a graph"
            )
    return tuple(rows)


def _attention_key(base: int, name: str, taken: set[str]) -> str:
    """`9_SimAM` for an attention row after base row 9, then `9_SimAM_2` …; base rows keep their
    numbers that way.
    """
    stem = f"{base if base >= 0 else 'input'}_{name}"
    number = 2
    key = stem
    while key in taken:
        key = f"{stem}_{number}"
        number += 1
    return key


def _resolve(file: str, index: int, source: int | list[int]) -> tuple[int, ...]:
    """`from` as row numbers: negatives count back from this row, others from the top; -1 means the
    image.
    """
    resolved = []
    for value in source if isinstance(source, list) else [source]:
        target = value + index if value < 0 else value
        if target >= index:
            what = "this row itself" if target == index else "a row that comes later"
            remedy = (
                f"names {what}, and a graph must not be cyclic; use a number from 0 to {index - 1},"
                " or -1"
            )
            raise UserError(
                f"{file}: row {index}: from {value}:"
                f" {remedy if index else 'the first row can only read -1'}"
            )
        if target < -1 or (target == -1 and index):
            raise UserError(
                f"{file}: row {index}: from {value}: there is no row {target}; count back at most"
                f" {index} rows"
            )
        resolved.append(target)
    return tuple(resolved)
