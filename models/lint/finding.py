"""The types of lint: a graph with its trial run, the findings in it, and their fixes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.graph.structure import Graph

Part = Literal["from", "args", "comment", "key", "name"]


@dataclass(frozen=True, slots=True)
class Fix:
    """One change of a graph's file.

    Attributes:
        part: the part that changes. `from` is one number of a row's `from`, `args` are all
            arguments of a row, `comment` is the comment after a row, `key` is a key at the top of
            the file, and `name` is the name of the file.
        row: number of the row, -1 for `key` and `name`.
        position: index into the list of a `from`, or the present key; 0 or a note otherwise.
        value: the new content. None removes a key.
    """

    part: Part
    row: int
    position: int | str
    value: object


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One fault of a graph, whether or not it keeps the graph from being built.

    Attributes:
        file: the graph's file.
        line: its line, from 1; 0 if there is none.
        row: number of the row in backbone + head, -1 for the top of the file.
        rule: the kind of finding, shown in brackets.
        what: the fault.
        meant: what the author probably meant, "" if that is unknown.
        fix: the change that corrects it, None where only a person can decide.
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
        meant = f"; meant: {self.meant}" if self.meant else ""
        return f"{where}{row}{self.what}{meant} [{self.rule}]"

    @property
    def place(self) -> tuple[str | int, ...]:
        """The part of the graph that the finding concerns; a place has at most one finding."""
        if self.fix:
            return (self.fix.part, self.fix.row, self.fix.position)
        return (self.row, self.rule, self.what)


@dataclass(frozen=True, slots=True)
class LintContext:
    """A graph and the results of its trial run.

    Attributes:
        content: the graph's dictionary.
        graph: the same with checked types, None if it cannot be read.
        sizes: (height, width) of the maps of the rows that ran, in order. A graph without faults
            has those of all rows but the head.
        side: height and width of the image, pixels.
        notes: warnings from building the rows.
        error: why the graph cannot be built or run, or "".
    """

    content: Mapping[str, object]
    graph: Graph | None
    sizes: Sequence[tuple[int, int]] = ()
    side: int = 0
    notes: Sequence[str] = ()
    error: str = ""

    @property
    def file(self) -> str:
        return str(self.content.get("yaml_file", "model graph"))

    def finding(
        self, row: int, rule: str, what: str, meant: str = "", fix: Fix | None = None
    ) -> LintFinding:
        """A finding in this file, its line not known yet; see LintFinding for the arguments."""
        return LintFinding(self.file, 0, row, rule, what, meant, fix)


def named(graph: Graph, index: int) -> str:
    """A row as findings show it, such as `row 7, C2f`; -1 is the image."""
    return f"row {index}, {graph.rows[index].module}" if index >= 0 else "the image"


def apply_fixes(content: Mapping[str, object], fixes: Iterable[Fix]) -> dict[str, object]:
    """A copy of a graph's dictionary with fixes made.

    Fixes of comments and of the file's name do not concern the dictionary and are skipped.
    """
    result = {key: copy.deepcopy(value) for key, value in content.items()}
    for fix in fixes:
        if fix.part == "key":
            result = _fix_key(result, fix)
        elif fix.part in ("from", "args"):
            _fix_row(result, fix)
    return result


def _fix_key(content: Mapping[str, object], fix: Fix) -> dict[str, object]:
    """The dictionary with a key renamed or removed, in the old order."""
    return {
        str(fix.value) if key == fix.position else key: value
        for key, value in content.items()
        if key != fix.position or fix.value is not None
    }


def _fix_row(content: Mapping[str, object], fix: Fix) -> None:
    """Change the `from` or the arguments of a row in place."""
    backbone, head = content["backbone"], content["head"]
    assert isinstance(backbone, list)
    assert isinstance(head, list)
    is_head = fix.row >= len(backbone)
    rows, index = (head, fix.row - len(backbone)) if is_head else (backbone, fix.row)
    # An alias in the YAML makes two rows one object, and only this row may change.
    row = copy.deepcopy(rows[index])
    if fix.part == "args":
        row[3] = fix.value
    elif isinstance(row[0], list):
        row[0][int(fix.position)] = fix.value
    else:
        row[0] = fix.value
    rows[index] = row
