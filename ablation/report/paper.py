"""Figures and a table for a paper, in the folder `paper` beside report.html.

They are those of compare.py: curves of precision over recall, learning curves, and what each kind
of error costs. An arm is a line, its mean over the seeds with their spread. They need curves.npz in
the folders of the runs, which runs of earlier versions do not have; then there is no such folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.report.summary import by_arm, is_control
from engine.compare.groups import RunGroup
from engine.compare.paper import PaperStyle
from engine.compare.report import write_figures, write_table
from engine.compare.runs import read_run
from engine.compare.tables import error_table
from utils.errors import UserError
from utils.files import make_folder
from utils.text import printable

if TYPE_CHECKING:
    from ablation.report.summary import Line
    from ablation.results import StudyResult

FOLDER = "paper"
MOST_ARMS = 8  # in a figure of a column's width, the baseline among them
ERRORS = "Points of mAP50 that each kind of error costs by itself (TIDE), as a table"


@dataclass(frozen=True)
class Paper:
    """What was written for a paper.

    Attributes:
        files: Names of files from the study's folder on, by what they show.
        notes: What a reader must know.
    """

    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_paper(
    study: StudyResult, lines: Sequence[Line], folder: Path, style: PaperStyle | None = None
) -> Paper:
    """Write the figures and the table, if a run has curves.

    Args:
        study: The study, whose cells' folders are read.
        lines: Lines of the report, which give the order of the arms.
        folder: The study's folder.
        style: Of the figures; None takes that of compare.py.

    Raises:
        UserError: a file cannot be written.
    """
    groups, notes = arm_groups(study, lines)
    if not any(run.curves for group in groups for run in group.runs):
        return Paper()
    if len(groups) > MOST_ARMS:
        notes.append(f"The figures show the first {MOST_ARMS} of {len(groups)} arms, as above.")
    make_folder(folder / FOLDER)
    found = write_figures(folder / FOLDER, groups[:MOST_ARMS], style or PaperStyle())
    table = error_table(groups)
    if table.rows:
        found[ERRORS] = write_table(folder / FOLDER, table)
    names = {title: [f"{FOLDER}/{path.name}" for path in paths] for title, paths in found.items()}
    return Paper(names, notes)


def arm_groups(study: StudyResult, lines: Sequence[Line]) -> tuple[list[RunGroup], list[str]]:
    """The runs of each arm but the controls, and a note for each run that cannot be read."""
    cells = by_arm(study.cells)
    groups: list[RunGroup] = []
    notes: list[str] = []
    for line in lines:
        runs = []
        for cell in () if is_control(line.name) else cells.get(line.name, {}).values():
            try:
                runs.append(read_run(cell.folder))
            except UserError as error:
                notes.append(f"Not in the figures for a paper: {printable(error)}")
        if runs:
            groups.append(RunGroup(line.name, tuple(runs)))
    return groups, notes


def paper_section(paper: Paper) -> str:
    """The content of the report's section, "" if there is nothing for a paper."""
    if not paper.files:
        return ""
    items = "".join(
        f"<li>{escape(title)}: "
        + ", ".join(f'<a href="{escape(name)}">{escape(suffix_of(name))}</a>' for name in names)
        + "</li>\n"
        for title, names in paper.files.items()
    )
    said = (
        "Figures in the width of a column (3.3 inches), readable in grey. Lines and bars are means"
        " over the seeds; bands reach from the lowest seed to the highest, whiskers are standard"
        " deviations. The files lie in the folder paper beside this page. python compare.py makes"
        " them in other sizes, from the folders of the runs."
    )
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in paper.notes)
    return f"<p>{escape(said)}</p>\n<ul>\n{items}</ul>\n{notes}"


def paper_markdown(paper: Paper) -> str:
    """The lines below the table in table.md, "" if there is nothing for a paper."""
    if not paper.files:
        return ""
    items = [
        f"- {title}: " + ", ".join(f"[{suffix_of(name)}]({name})" for name in names)
        for title, names in paper.files.items()
    ]
    return "\n".join(["", "For a paper (means over the seeds, with their spread):", "", *items, ""])


def suffix_of(name: str) -> str:
    """PNG of paper/pr_curves.png."""
    return name.rpartition(".")[2].upper()
