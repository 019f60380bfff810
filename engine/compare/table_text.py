"""A table as CSV, Markdown and LaTeX, and for the terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from engine.compare.groups import Spread
from engine.compare.tables import Cell, PaperTable
from utils.markup import escape_latex, escape_markdown
from utils.tables import text_table
from utils.text import csv_cell, printable


def show_cell(value: Cell, form: str) -> str:
    """A cell as text: 45.3 ± 0.4 for a spread, a dash for what is not known."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Spread):
        deviation = "" if math.isnan(value.deviation) else f" ± {value.deviation:{form}}"
        return "–" if math.isnan(value.mean) else f"{value.mean:{form}}{deviation}"
    return "–" if value is None or math.isnan(value) else f"{value:{form}}"


def shown_rows(table: PaperTable) -> list[list[str]]:
    """All cells as text."""
    forms = list(table.columns.values())
    return [
        [show_cell(cell, form) for cell, form in zip(row, forms, strict=True)] for row in table.rows
    ]


def terminal_table(table: PaperTable) -> str:
    """The table under its title."""
    names = [printable(name) for name in table.columns]
    return f"{printable(table.title)}\n{text_table(names, shown_rows(table), 40)}"


def markdown(table: PaperTable) -> str:
    """The table with its title, for README files and issues."""
    lines = [list(table.columns), *shown_rows(table)]
    head, *body = ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in lines]
    rule = "|" + "|".join("---:" if form else "---" for form in table.columns.values()) + "|"
    return "\n".join([f"{escape_markdown(table.title)}", "", head, rule, *body]) + "\n"


def latex(table: PaperTable) -> str:
    """The table for a paper, which needs the package booktabs; its title is a comment."""
    lines = [list(table.columns), *shown_rows(table)]
    head, *body = [" & ".join(map(escape_latex, row)) + r" \\" for row in lines]
    kinds = "".join("r" if form else "l" for form in table.columns.values())
    title = printable(" ".join(table.title.split()))
    return "\n".join(
        [
            rf"% {title}",
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{kinds}}}",
            r"\toprule", head, r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}",
        ]
    ) + "\n"  # fmt: skip


def csv_text(table: PaperTable) -> str:
    """The table for programs: plain numbers, and standard deviations in columns of their own."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    is_spread = [
        any(isinstance(row[place], Spread) for row in table.rows)
        for place in range(len(table.columns))
    ]
    head: list[str] = []
    for name, wide in zip(table.columns, is_spread, strict=True):
        head += [csv_cell(name), csv_cell(f"{name} sd")] if wide else [csv_cell(name)]
    writer.writerow(head)
    for row in table.rows:
        writer.writerow(_csv_row(row))
    return file.getvalue()


def _csv_row(row: Sequence[Cell]) -> list[str]:
    """A row's cells; what is not known is empty."""
    cells = []
    for value in row:
        parts = (value.mean, value.deviation) if isinstance(value, Spread) else (value,)
        for part in parts:
            is_known = part is not None and (isinstance(part, str) or not math.isnan(part))
            shown = part if isinstance(part, str) else f"{part:.10g}" if is_known else ""
            cells.append(csv_cell(shown) if isinstance(part, str) else shown)
    return cells
