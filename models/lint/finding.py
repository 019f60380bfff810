"""What lint looks at and what it says: a graph tried out, a finding, and the change that would mend
it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.graph.structure import Graph


@dataclass(frozen=True, slots=True)
class Fix:
    """One change. part: from (entry `position` of the row's list, or its only one), args (all of a
    row's arguments), comment (the text behind a row), key (position is a top-level key; None
    removes it, text renames it) or name (of the file). value: what it becomes.
    """

    part: str
    row: int
    position: int | str
    value: Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that builds but is wrong, or that keeps a graph from being built.

    line: in the file, 0 where there is none. row: of backbone + head, -1 for the top of the file.
    rule: its name in the tables of rules. what: it is. meant: probably. fix: None where only a
    person can know.
    """

    file: str
    line: int
    row: int
    rule: str
    what: str
    meant: str = ""
    fix: Fix | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        row = f"row {self.row}: " if self.row >= 0 else ""
        return (
            f"{where}{row}{self.what}{f'; meant: {self.meant}' if self.meant else ''} [{self.rule}]"
        )


@dataclass(frozen=True, slots=True)
class Context:
    """A graph as far as it could be tried out.

    graph: None if the dictionary could not be read. sizes: (height, width) of the maps of the rows
    that ran; of all but the head's if all did. side: of the image, pixels. notes: what building
    warned of. error: why it stopped, or "".
    """

    content: Mapping[str, Any]
    graph: Graph | None
    sizes: Sequence[tuple[int, int]] = ()
    side: int = 0
    notes: Sequence[str] = field(default=())
    error: str = ""

    @property
    def file(self) -> str:
        return str(self.content.get("yaml_file", "model graph"))

    def finding(
        self, row: int, rule: str, what: str, meant: str = "", fix: Fix | None = None
    ) -> Finding:
        """A finding in this file, its line not known yet."""
        return Finding(self.file, 0, row, rule, what, meant, fix)


def named(graph: Graph, index: int) -> str:
    """`row 7, C2f`, or the image."""
    return f"row {index}, {graph.rows[index].module}" if index >= 0 else "the image"


def mended(content: Mapping[str, Any], fixes: Iterable[Fix]) -> dict[str, Any]:
    """A copy of a graph's dictionary with the changes made, but those to comments and the file's
    name.
    """
    result = {key: copy.deepcopy(value) for key, value in content.items()}
    for fix in fixes:
        if fix.part == "key":
            result = {
                str(fix.value) if key == fix.position else key: value
                for key, value in result.items()
                if key != fix.position or fix.value is not None
            }
        elif fix.part in ("from", "args"):
            part, index = find_row(result, fix.row)
            row = copy.deepcopy(
                result[part][index]
            )  # aliases in the YAML share rows; only this one changes
            if fix.part == "args":
                row[3] = fix.value
            elif isinstance(row[0], list):
                row[0][int(fix.position)] = fix.value
            else:
                row[0] = fix.value
            result[part][index] = row
    return result


def find_row(content: Mapping[str, Any], row: int) -> tuple[str, int]:
    """Which list a row's number is in, and where."""
    first = len(content["backbone"])
    return ("backbone", row) if row < first else ("head", row - first)
