"""Where a graph's rows stand: the stride of each map, the stages that rows form, and the names of
their ends.

Rows alone are read, nothing is built. models/graph/read.py asks here when a row names what it reads
(`from: backbone.P4`), models/graph/sites.py for the places where attention may go. A name means the
row after which the stage's map is complete:

    backbone.P4        the last row of the backbone at stride 16, and so for each stride; backbone.sppf its SPPF
    neck.P4            the last stage of the head part at stride 16; below the whole graph the map that the head reads
    neck.topdown.P4    the first stage there, on the way up in a graph that comes down again
    index.9            row 9
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.graph.values import as_number, is_number, is_whole, shorten
from utils.errors import UserError

# Module -> the place of its stride among the arguments, and its stride if that is not given
SHRINKING: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(
        ("Conv", "DWConv", "GhostConv", "GhostBottleneck", "MixConv2d", "CrossConv", "Focus"),
        (2, 1),
    ),
    **dict.fromkeys(("nn.MaxPool2d", "nn.AvgPool2d"), (1, None)),  # None: the side of the window
    "Contract": (0, 2),
}
GROWING: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("nn.ConvTranspose2d", "DWConvTranspose2d"), (2, 1)),
    "nn.Upsample": (1, None),
    "Expand": (0, 2),
}
POOLING = ("SPPF", "SPP")


@dataclass(frozen=True, slots=True)
class Step:
    """A row of the graph as far as its place matters.

    inputs: rows read, -1 being the image. stride: pixels of the image per cell; nan where the
    row does not say. in_backbone: else in the head part. is_attention: a row that could be taken
    out again.
    """

    index: int
    module: str
    inputs: tuple[int, ...]
    stride: float
    in_backbone: bool
    is_attention: bool


def factor_of(module: str, arguments: Any, repeats: int = 1) -> float:
    """How many times fewer cells a side a row's output has than its input; nan where that cannot be
    told.
    """
    module = module.removeprefix("torch.")
    if isinstance(arguments, dict):  # attention
        return _side(arguments.get("stride", 1))
    place, default = SHRINKING.get(module) or GROWING.get(module) or (0, 1)
    if module not in SHRINKING and module not in GROWING:
        return 1.0
    values = [as_number(value) for value in arguments]
    value = values[place] if len(values) > place else default
    if value in (None, "None"):
        value = values[0] if values and module != "nn.Upsample" else None
    side = _side(value)
    if module == "GhostBottleneck" and side != 2:
        side = 1.0  # it shrinks by 2 or not at all
    if module == "Focus":
        side *= 2
    if not 1 / 4096 <= side <= 4096 or repeats > 16:  # no map has as many cells
        return 1.0 if side == 1 else math.nan
    return (side if module in SHRINKING else 1 / side) ** repeats


def _side(value: Any) -> float:
    """The step along both sides, which must be the same."""
    if isinstance(value, (list, tuple)) and len(set(map(repr, value))) == 1:
        value = value[0]
    return float(value) if is_number(value) and value > 0 else math.nan


def level_of(stride: float) -> str:
    """P4 for stride 16; "" for a stride that has no such name."""
    power = math.log2(stride) if stride > 0 else math.nan
    return f"P{int(power)}" if power >= 1 and power.is_integer() else ""


def stride_after(steps: Sequence[Step], inputs: Sequence[int], factor: float) -> float:
    """The stride of a row that reads `inputs` among the steps and has so many times fewer cells a
    side.
    """
    source = inputs[0]
    return (steps[source].stride if source >= 0 else 1.0) * factor


def stages(steps: Sequence[Step]) -> list[list[Step]]:
    """Rows of the head part in runs of one stride, each row reading the one before it, among others
    or alone.

    Rows that only prepare a map for the head, which are attention from first to last, form no
    stage.
    """
    runs: list[list[Step]] = []
    for step in steps:
        if not step.in_backbone:
            goes_on = (
                bool(runs)
                and runs[-1][-1].index in step.inputs
                and runs[-1][-1].stride == step.stride
            )
            if goes_on:
                runs[-1].append(step)
            else:
                runs.append([step])
    return [run for run in runs if not all(step.is_attention for step in run)]


def places(steps: Sequence[Step], unfinished: int = -1) -> dict[str, int]:
    """Name -> row for every stage's end among the steps, in the order of the rows.

    unfinished: a row whose stage goes on, so that it has no end yet.
    """
    found: dict[str, int] = {}
    for step in steps:
        if step.in_backbone and (level := level_of(step.stride)):
            found[f"backbone.{level}"] = step.index
        if step.in_backbone and step.module in POOLING:
            found["backbone.sppf"] = step.index
    finer = {
        source: step
        for step in steps
        for source in step.inputs
        if source >= 0 and _is_finer(step, steps[source])
    }
    done = [run for run in stages(steps) if run[-1].index != unfinished]
    by_level: dict[str, list[int]] = {}
    for run in done:
        by_level.setdefault(level_of(run[-1].stride), []).append(run[-1].index)
    for level, ends in by_level.items():
        if level:
            outward = [
                end for end in ends if end not in finer
            ]  # what only goes up is a branch, not the level's map
            found[f"neck.{level}"] = (outward or ends)[-1]
            found[f"neck.topdown.{level}"] = ends[0]
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _is_finer(step: Step, source: Step) -> bool:
    return step.stride < source.stride


def neck_source(steps: Sequence[Step], row: int) -> int:
    """The row whose map an input of the head is, before rows that only prepare it for the head."""
    while row >= 0 and steps[row].is_attention and not _belongs(steps, row):
        row = steps[row].inputs[0]
    return row


def _belongs(steps: Sequence[Step], row: int) -> bool:
    """Whether an attention row goes on with the row right before it, as part of that row's stage."""
    while row >= 0 and steps[row].is_attention:
        if steps[row].inputs != (row - 1,):
            return False
        row -= 1
    return row >= 0


def find_place(name: str, steps: Sequence[Step], unfinished: int = -1) -> int | None:
    """The row that a name in `from` means, None if there is no such place among the steps before
    it.
    """
    wanted = name.strip().lower()
    if wanted.startswith(("index.", "index ")) and is_whole(number := as_number(wanted[6:])):
        return number if 0 <= number < len(steps) else None
    return {place.lower(): row for place, row in places(steps, unfinished).items()}.get(wanted)


def to_numbers(where: str, source: Any, steps: Sequence[Step]) -> Any:
    """`from` with names replaced by the numbers of their rows; where: file and row, for errors.

    A name beside -1 never means the stage that the row goes on with. Raises UserError for a name
    that no row above has.
    """
    entries = source if isinstance(source, list) else [source]
    last = len(steps) - 1
    unfinished = last if any(is_whole(entry) and entry in (-1, last) for entry in entries) else -1
    found = [
        find_place(entry, steps, unfinished) if isinstance(entry, str) else entry
        for entry in entries
    ]
    for entry, number in zip(entries, found, strict=True):
        if number is None:
            known = (
                ", ".join(f"{name} (row {row})" for name, row in places(steps, unfinished).items())
                or "none"
            )
            raise UserError(
                f"{where}: from {shorten(entry)}: no row above has this name; there are {known}"
            )
    return found if isinstance(source, list) else found[0]
