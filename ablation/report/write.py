"""Write a study's report: report.html for people, tables and figures for papers, cells.csv for
programs.

The same StudyResult gives the same bytes, so that a study that was interrupted can be compared with
one that was not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ablation.report import html, tables
from ablation.report.paper import paper_markdown, write_paper
from ablation.report.summary import make_lines
from utils.files import atomic_write, make_folder

if TYPE_CHECKING:
    from ablation.results import StudyResult

FILES = ("report.html", "table.md", "table.tex", "cells.csv")


def write_report(study: StudyResult, folder: Path) -> None:
    """Write FILES and what is for a paper, each atomically, and print the table and the verdicts.

    Raises UserError if a file cannot be written.
    """
    lines = make_lines(study)
    make_folder(Path(folder))
    paper = write_paper(study, lines, Path(folder))
    contents = (
        html.render(study, lines, paper),
        tables.markdown_table(lines) + paper_markdown(paper),
        tables.latex_table(lines),
        tables.cells_csv(study),
    )
    for name, content in zip(FILES, contents, strict=True):
        with atomic_write(Path(folder) / name) as file:
            # A path may contain bytes that are not UTF-8, which must not cost the report.
            file.write(content.encode("utf-8", errors="replace"))
    print(f"\n{tables.terminal(study, lines)}\nReport in {Path(folder) / FILES[0]}")
