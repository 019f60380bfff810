"""The two types that a model YAML is parsed into: a Row for each row, and the Graph of all rows.

models/graph/read.py makes them and checks every value. The code that builds, measures or rewires a
graph relies on their types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.graph.stages import Step
from models.graph.values import Arguments, as_number, shorten
from utils.errors import UserError
from utils.families import Family

YAML_CONSTANTS = {"None": None, "True": True, "False": False}
AnchorLevels = tuple[tuple[tuple[float, float], ...], ...] | int
MapSize = tuple[int, int]  # (height, width) in cells


@dataclass(frozen=True, slots=True)
class Row:
    """One row of backbone + head.

    Attributes:
        index: number of the row, which `from` counts.
        source: `from` as written, names replaced by the numbers of their rows.
        inputs: numbers of the rows that it reads, -1 for the image.
        repeats: `number` after the depth factor.
        module: name of its block.
        arguments: a list, or for attention a mapping.
        key: the row's part of the state-dict keys.
        inside: the trailing mapping of the list, which names attention inside the block.
        alias: the name as written where models/graph/block_names.py reads it as module and inside.
        note: what it says about that.
    """

    index: int
    source: int | list[int]
    inputs: tuple[int, ...]
    repeats: int
    module: str
    arguments: Arguments
    key: str
    inside: Mapping[str, object] | None = None
    alias: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole graph with checked types.

    Attributes:
        file: the name that errors give.
        family: see utils/families.py.
        class_count: number of classes.
        channels: of the images.
        scale: the scale in force, "" if the graph has none.
        width: factor of the channels.
        max_channels: the most channels of a row, before the factor.
        channel_multiple: scaled channels are rounded up to a multiple of it.
        anchors: (w, h) pairs in pixels for each level, or the number wanted per level; () in v8.
        reg_max: bins of a distance, in v8.
        box_bias: initial bias of these bins, in v8.
        activation: of all Conv blocks, None for SiLU.
        attention_init: how attention starts where its row has no `init`, paper or identity.
        rows: backbone and head.
        steps: the same rows as models/graph/stages.py sees them, with their strides.
        warnings: what looks wrong in the file.
        class_branch: convolutions of the class branch of a v8 head, "" for YOLOv8's rule.
        class_width: channels of that branch, 0 for YOLOv8's rule. Trained heads may differ from it.
    """

    file: str
    family: Family
    class_count: int
    channels: int
    scale: str
    width: float
    max_channels: int
    channel_multiple: int
    anchors: AnchorLevels
    reg_max: int
    box_bias: float
    activation: str | None
    attention_init: str
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    class_branch: str = ""
    class_width: int = 0

    @property
    def anchors_per_level(self) -> int:
        """Number of anchors of a level; 1 for a head without anchors."""
        if isinstance(self.anchors, int):
            return self.anchors
        return len(self.anchors[0]) if self.anchors else 1

    @property
    def head_width(self) -> int:
        """Channels of a raw map."""
        if not self.family.has_anchors:
            return 4 * self.reg_max + self.class_count
        return self.anchors_per_level * (self.class_count + 5)

    def scaled(self, channels: int) -> int:
        """A channel count of the YAML at this graph's width.

        It is capped before the factor is applied, and rounded up to the channel multiple after.
        """
        width = min(channels, self.max_channels) * self.width
        return math.ceil(width / self.channel_multiple) * self.channel_multiple

    def interpret(self, value: object) -> object:
        """The value of an argument: text may be a symbol, a constant, a number, or just text."""
        if not isinstance(value, str):
            return value
        symbols = {
            "nc": self.class_count,
            "na": self.anchors_per_level,
            "no": self.head_width,
            "gw": self.width,
            **YAML_CONSTANTS,
        }
        return symbols[value] if value in symbols else as_number(value)

    def error(self, row: int, value: object, remedy: str) -> UserError:
        """The one line that names file, row, value and remedy."""
        return UserError(f"{self.file}: row {row}: {shorten(value)}: {remedy}")


def unread_rows(graph: Graph) -> list[Row]:
    """Rows before the last whose output no row reads.

    Such a dead branch is most often a `from` that was not adjusted after an insertion.
    """
    read = {source for row in graph.rows for source in row.inputs}
    return [row for row in graph.rows[:-1] if row.index not in read]


def refuse_unread(graph: Graph) -> None:
    """Raise UserError for a row that no other row reads, since nobody can mean one."""
    for row in unread_rows(graph):
        raise graph.error(
            row.index,
            row.module,
            "no other row reads this row; read it, or remove it and adjust the rows after it",
        )


def readers_of(graph: Graph, index: int) -> list[Row]:
    """The rows that read this one."""
    return [row for row in graph.rows if index in row.inputs]
