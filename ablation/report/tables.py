"""The report's main table for a terminal, in Markdown and in LaTeX, and the runs as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablation.report.columns import SHORT_TABLE, filled, show
from ablation.report.looks import looks_sentences
from ablation.report.run_notes import run_notes
from ablation.report.sentences import overview, sentence
from ablation.report.summary import SIZES, Line, seconds_of
from ablation.study import PLAIN
from utils.markup import escape_latex, escape_markdown
from utils.tables import text_table
from utils.text import csv_cell, printable

if TYPE_CHECKING:
    from ablation.results import StudyResult

SCORE_KEYS = ("map", "map50", "precision", "recall", *SIZES)
RUN_KEYS = ("epoch", "epochs", "memory_mb")


def terminal(study: StudyResult, lines: Sequence[Line]) -> str:
    """The table and the verdicts for a terminal."""
    columns = filled(lines, SHORT_TABLE)
    rows = [[show(column, line) for column in columns] for line in lines]
    table = text_table([column.name for column in columns], rows)
    said = [
        f"{line.name} {sentence(line, study.config.margin)}."
        for line in lines
        if line.name != PLAIN
    ]
    failed = [
        f"failed: {printable(name)}: {printable(reason)}" for name, reason in study.failed.items()
    ]
    notes = [f"note: {note} ({runs})" for note, runs in run_notes(study).items()]
    first = [overview(lines, len(study.failed)), *looks_sentences(study)]
    return "\n".join([table, "", *first, *said, *failed, *notes])


def markdown_table(lines: Sequence[Line]) -> str:
    """The table for README files and issues."""
    columns = filled(lines)
    head = [
        "| " + " | ".join(column.name for column in columns) + " |",
        "|" + "|".join("---:" if column.form else "---" for column in columns) + "|",
    ]
    body = [
        "| " + " | ".join(escape_markdown(show(column, line)) for column in columns) + " |"
        for line in lines
    ]
    return "\n".join([*head, *body]) + "\n"


def latex_table(lines: Sequence[Line]) -> str:
    """The short table for a paper. It needs the package booktabs."""
    columns = filled(lines, SHORT_TABLE[1:])
    shown = [[show(column, line) for column in columns] for line in lines]
    body = [" & ".join(escape_latex(text) for text in row) + r" \\" for row in shown]
    head = " & ".join(escape_latex(column.name) for column in columns) + r" \\"
    kinds = "".join("r" if column.form else "l" for column in columns)
    rows = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*rows, r"\end{tabular}"]) + "\n"


def cells_csv(study: StudyResult) -> str:
    """A CSV row for each run, with the reason for those that failed. Scores are in 0..1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    keys = (*SCORE_KEYS, *RUN_KEYS)
    writer.writerow(["arm", "block", "seed", "state", *keys, "train_seconds", "folder", "reason"])
    for cell in study.cells:
        seconds = seconds_of(cell)
        values = [cell.metric(key) for key in keys]
        shown = ["" if value is None else f"{value:.10g}" for value in (*values, seconds)]
        writer.writerow(
            [
                csv_cell(cell.arm),
                cell.seed,
                cell.train_seed,
                "done",
                *shown,
                csv_cell(cell.folder.name),
                "",
            ]
        )
    for name, reason in study.failed.items():
        # The name is that of the arm, in which " seed " may occur too, and " seed N".
        arm, _, seed = name.rpartition(" seed ")
        blanks = [""] * (len(keys) + 2)
        writer.writerow([csv_cell(arm), "", seed, "failed", *blanks, csv_cell(reason)])
    return file.getvalue()
