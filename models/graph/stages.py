"""The stages that a graph's rows form, and the names of their last rows.

No module is built for it. models/graph/rows.py looks up the names in `from` here (backbone.P4), and
models/graph/sites.py the places where attention may go. A name means the row that completes the
stage's map:

    backbone.P4        the backbone's last row at stride 16, and so on for each stride
    backbone.sppf      the backbone's last SPPF
    neck.P4            the head part's last stage at stride 16. When the whole graph is known, this
                       is the stage whose map the head reads.
    neck.topdown.P4    the first stage there, from the pass that upsamples, in a graph that
                       downsamples again after it
    index.9            row 9
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.graph.layers import layer_named
from models.graph.values import as_number, is_whole, shorten
from utils.errors import UserError


@dataclass(frozen=True, slots=True)
class Step:
    """The part of a row that decides which stage it belongs to.

    Attributes:
        index: number of the row.
        module: name of its block.
        inputs: numbers of the rows that it reads, -1 for the image.
        stride: pixels of the image per cell of its map; nan where it is unknown.
        in_backbone: whether it belongs to the backbone, else to the head part.
        is_attention: whether it is attention, which may only prepare a map for the head.
    """

    index: int
    module: str
    inputs: tuple[int, ...]
    stride: float
    in_backbone: bool
    is_attention: bool


def level_of(stride: float) -> str:
    """P4 for stride 16; "" for a stride that has no such name, such as 12 or nan."""
    # log2 of nan is nan, and no comparison with nan holds.
    power = math.log2(stride) if stride > 0 else math.nan
    return f"P{int(power)}" if power >= 1 and power.is_integer() else ""


def stride_after(
    steps: Sequence[Step], inputs: Sequence[int], factor: float, position: int = 0
) -> float:
    """The stride of a row.

    Args:
        steps: the rows before it.
        inputs: numbers of the rows that it reads, -1 for the image.
        factor: how many times fewer cells per side its output has than its input.
        position: of that input. It is the first, unless a row joins maps of several sizes.

    Returns:
        Pixels of the image per cell.
    """
    source = inputs[position]
    return (steps[source].stride if source >= 0 else 1.0) * factor


def find_stages(steps: Sequence[Step]) -> list[list[Step]]:
    """The stages of the head part: runs of rows of one stride that each read the row before.

    Rows that only prepare a map for the head, which are attention from first to last, are not a
    stage.
    """
    runs: list[list[Step]] = []
    for step in steps:
        if not step.in_backbone:
            last = runs[-1][-1] if runs else None
            # An unknown stride is nan, which equals nothing: such a row is a stage of its own and
            # gets no name.
            if last and last.index in step.inputs and last.stride == step.stride:
                runs[-1].append(step)
            else:
                runs.append([step])
    return [run for run in runs if not all(step.is_attention for step in run)]


def name_places(steps: Sequence[Step], unfinished: int = -1) -> dict[str, int]:
    """The name of every stage's last row with its number, in the order of the rows.

    The stage that ends at row `unfinished` continues below it and gets no name; -1 for none.
    """
    found: dict[str, int] = {}
    for step in steps:
        if step.in_backbone and (level := level_of(step.stride)):
            found[f"backbone.{level}"] = step.index
        layer = layer_named(step.module)
        if step.in_backbone and layer and layer.place:
            found[f"backbone.{layer.place}"] = step.index
    upsampled = {
        source
        for step in steps
        for source in step.inputs
        if source >= 0 and step.stride < steps[source].stride
    }
    by_level: dict[str, list[int]] = {}
    for run in find_stages(steps):
        if run[-1].index != unfinished:
            by_level.setdefault(level_of(run[-1].stride), []).append(run[-1].index)
    for level, ends in by_level.items():
        if level:
            # A stage that is upsampled feeds a finer level; where its level has another stage, that
            # one is the level's result.
            outward = [end for end in ends if end not in upsampled]
            found[f"neck.{level}"] = (outward or ends)[-1]
            found[f"neck.topdown.{level}"] = ends[0]
    return dict(sorted(found.items(), key=lambda item: item[1]))


def neck_source(steps: Sequence[Step], row: int) -> int:
    """The row that completes a head input's stage, before attention that only the head reads."""
    while row >= 0 and steps[row].is_attention and not _belongs(steps, row):
        row = steps[row].inputs[0]
    return row


def _belongs(steps: Sequence[Step], row: int) -> bool:
    """Whether an attention row continues the stage of the row right before it."""
    while row >= 0 and steps[row].is_attention:
        if steps[row].inputs != (row - 1,):
            return False
        row -= 1
    return row >= 0


def find_place(name: str, steps: Sequence[Step], unfinished: int = -1) -> int | None:
    """The row that a name in `from` means.

    Args:
        name: such as backbone.P4 or index.9.
        steps: the rows before the one that has the name in its `from`.
        unfinished: a row whose stage goes on; -1 for none.

    Returns:
        The number of the row, None if there is no such place.
    """
    wanted = name.strip().lower()
    if wanted.startswith(("index.", "index ")) and is_whole(number := as_number(wanted[6:])):
        return number if 0 <= number < len(steps) else None
    return {place.lower(): row for place, row in name_places(steps, unfinished).items()}.get(wanted)


def to_numbers(
    where: str, source: int | str | list[int | str], steps: Sequence[Step]
) -> int | list[int]:
    """`from` with names replaced by the numbers of their rows.

    A name beside -1 never means the stage that the row itself continues: in [-1, neck.P4] behind a
    row of stride 16, neck.P4 is the earlier stage.

    Args:
        where: file and row, for the error.
        source: `from` as written.
        steps: the rows before.

    Returns:
        One number, or a list where `from` is a list.

    Raises:
        UserError: No row above has the name.
    """
    entries = source if isinstance(source, list) else [source]
    last = len(steps) - 1
    unfinished = last if any(is_whole(entry) and entry in (-1, last) for entry in entries) else -1
    found: list[int] = []
    for entry in entries:
        number = find_place(entry, steps, unfinished) if isinstance(entry, str) else entry
        if number is None:
            places = name_places(steps, unfinished)
            known = ", ".join(f"{name} (row {row})" for name, row in places.items()) or "none"
            raise UserError(
                f"{where}: from {shorten(entry)}: no row above has this name; there are {known}"
            )
        found.append(number)
    return found if isinstance(source, list) else found[0]
