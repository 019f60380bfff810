"""The tables of report.html: all arms with their figures, one by size or class, and settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ablation.report import columns
from ablation.report.page import TableEntry, TableHead, TableRow, html_table
from ablation.report.summary import Cells, Difference, Line, by_arm
from ablation.study import PLAIN

if TYPE_CHECKING:
    from ablation.results import StudyResult


def main_table(lines: Sequence[Line]) -> str:
    """The table of all arms, with all columns that have values."""
    shown = columns.filled(lines)
    rows = [
        TableRow(
            "dominated" if line.is_dominated else "",
            [TableEntry(columns.show(one, line), sort_key(one.value(line))) for one in shown],
        )
        for line in lines
    ]
    heads = [TableHead(column.name, column.hint, bool(column.form)) for column in shown]
    return html_table(heads, rows, "sortable sticky")


def sort_key(value: columns.Value) -> str:
    """The key that the script sorts by: a number in full, a text, or "", which is sorted last."""
    if value is None or isinstance(value, str):
        return value or ""
    if math.isnan(value):
        return ""
    if math.isinf(value):  # JavaScript reads 1e999 as Infinity
        return "1e999" if value > 0 else "-1e999"
    return f"{value:.10g}"


def part_table(
    study: StudyResult,
    lines: Sequence[Line],
    split: Callable[[Cells, Cells], dict[str, Difference]],
) -> str:
    """A table of arms by object sizes or by classes, "" if there are none.

    Args:
        study: the study, whose finished cells are read.
        lines: lines of the report, which give the order of the arms.
        split: by_size or by_class.
    """
    cells = by_arm(study.cells)
    found = {
        line.name: split(cells[line.name], cells.get(PLAIN, {}))
        for line in lines
        if line.name != PLAIN and line.name in cells
    }
    parts = list(dict.fromkeys(part for values in found.values() for part in values))
    if not parts:
        return ""
    rows = [
        TableRow("", [TableEntry(name, name), *(part_entry(values.get(part)) for part in parts)])
        for name, values in found.items()
    ]
    heads = [
        TableHead("arm", "which attention, and where", False),
        *(TableHead(part, "AP50-95, difference in points", True) for part in parts),
    ]
    note = (
        '<p class="muted">AP50-95 minus the baseline\'s on the same seeds, points ± standard'
        " error.</p>\n"
    )
    return note + html_table(heads, rows, "sortable sticky")


def part_entry(value: Difference | None) -> TableEntry:
    if value is None:
        return TableEntry("", "")
    error = f" ± {100 * value.error:.1f}" if math.isfinite(value.error) else ""
    text = columns.signed(100 * value.mean, "+.1f") + error
    return TableEntry(text, sort_key(100 * value.mean))


def listed(values: Mapping[str, str]) -> str:
    """Names and values in two columns, "" if there are none."""
    rows = [
        TableRow("", [TableEntry(name, name), TableEntry(value, value)])
        for name, value in values.items()
        if value != ""
    ]
    heads = [TableHead("what", "", False), TableHead("value", "", False)]
    return html_table(heads, rows, "plain") if rows else ""
