"""Read a model YAML: check every value, resolve every reference, give every row its key.

The dictionary comes from a file (models/graph/load.py) or from a checkpoint. read_graph makes a
Graph of it (models/graph/structure.py), on whose types parse_model in models/yolo.py may rely. One
format serves two families: v5 has anchors, v8 has none. Nothing in the YAML is evaluated: names are
looked up in tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.attention import ATTENTION_INITS
from models.graph.rows import read_rows
from models.graph.scales import MULTIPLES, has_scales, read_scale
from models.graph.structure import AnchorLevels, Graph
from models.graph.values import MOST, Values, is_number, is_whole, shorten
from utils.errors import UserError
from utils.families import Family, family_of

# Every graph needs these keys, and graphs with anchors need ANCHOR_KEYS too.
ALWAYS = ("nc", "backbone", "head")
ANCHOR_KEYS = ("anchors", *MULTIPLES)
# Only graphs without anchors read these.
BIN_KEYS = ("reg_max", "box_bias", "class_branch", "class_width")
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
MOST_CLASSES, MOST_BINS, MOST_ANCHORS = 100_000, 256, 100
BRANCHES = ("dense", "depthwise")  # convolutions of a v8 head's class branch


def read_graph(content: Mapping[str, Any]) -> Graph:
    """Check a graph's dictionary and resolve it.

    Raises UserError naming file, row, value and remedy.
    """
    file = str(content.get("yaml_file", "model graph"))
    family = family_of(content)
    unread = BIN_KEYS if family.has_anchors else ()
    for key in _required(content, family):
        if key not in content:
            raise UserError(
                f"{file}: {key}: is missing; add a line `{key}: …`, see models/{family.example}"
            )
    whole, real = Values(file, content).whole, Values(file, content).real
    if isinstance(content.get("neck"), list):
        raise UserError(
            f"{file}: neck: is a third list of rows; move them to the start of head, which leaves"
            " all row numbers as they are"
        )
    scale = read_scale(file, content)
    unknown = [key for key in content if key not in KEYS or key in unread]
    graph = Graph(
        file=file,
        family=family,
        class_count=whole("nc", MOST_CLASSES),
        channels=whole("ch", MOST, 3),
        scale=scale.name,
        width=scale.width,
        max_channels=scale.max_channels,
        channel_multiple=whole("channel_multiple", 1024, 8),
        anchors=read_anchors(file, content["anchors"]) if family.has_anchors else (),
        reg_max=whole("reg_max", MOST_BINS, 16, 2),
        box_bias=real("box_bias", 100, 2.0),
        activation=_activation(file, content),
        attention_init=_choice(file, content, "attention_init", ATTENTION_INITS),
        rows=(),
        steps=(),
        warnings=(
            *(f"{file}: {shorten(key)}: nothing reads this key" for key in unknown),
            *scale.warnings,
        ),
        class_branch=_choice(file, content, "class_branch", ("", *BRANCHES)),
        class_width=whole("class_width", MOST, 0, 0),
    )
    # Rows are read last: the trial run of a block needs the factors of the graph.
    rows, steps = read_rows(graph, content, scale.depth)
    return replace(graph, rows=rows, steps=steps)


def _required(content: Mapping[str, Any], family: Family) -> tuple[str, ...]:
    if not family.has_anchors:
        return ALWAYS
    return (*ALWAYS, "anchors") if has_scales(content) else (*ALWAYS, *ANCHOR_KEYS)


def _activation(file: str, content: Mapping[str, object]) -> str | None:
    activation = content.get("activation")
    if activation is not None and not isinstance(activation, str):
        raise UserError(
            f"{file}: activation: {shorten(activation)}: must be text such as nn.LeakyReLU(0.1)"
        )
    return activation


def _choice(file: str, content: Mapping[str, object], key: str, known: tuple[str, ...]) -> str:
    """The value of a key, which must be in `known`; the first of them if the key is missing."""
    value = content.get(key, known[0])
    if not isinstance(value, str) or value not in known:
        listed = " or ".join(filter(None, known))
        raise UserError(f"{file}: {key}: {shorten(value)}: must be {listed}")
    return value


def read_anchors(file: str, value: object) -> AnchorLevels:
    """The anchors of a YAML.

    Args:
        file: for the error.
        value: a number of anchors per level, or for each level a list w, h, w, h … in pixels.

    Returns:
        The number, or the (w, h) pairs of each level.

    Raises:
        UserError: The value is anything else.
    """
    if is_whole(value) and 1 <= value <= MOST_ANCHORS:
        return value
    remedy = (
        "must be a number of anchors, or per level a list of width, height, width, height … in"
        " pixels above 0"
    )
    if not isinstance(value, list) or not value or not all(isinstance(one, list) for one in value):
        raise UserError(f"{file}: anchors: {shorten(value)}: {remedy}")
    for level in value:
        are_sides = all(is_number(side) and 0 < side <= MOST for side in level)
        are_pairs = 2 <= len(level) <= 2 * MOST_ANCHORS and len(level) % 2 == 0
        if not are_sides or not are_pairs or len(level) != len(value[0]):
            raise UserError(
                f"{file}: anchors: {shorten(level)}: {remedy}, the same number on each level"
            )
    return tuple(
        tuple(zip(map(float, level[::2]), map(float, level[1::2]), strict=True)) for level in value
    )
