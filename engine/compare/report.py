"""The files of a comparison: each table as CSV, Markdown and LaTeX, each figure, and compare.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.compare.figures import error_figure, learning_figure, pr_figure
from engine.compare.groups import RunGroup
from engine.compare.paper import PaperStyle, save_for_paper
from engine.compare.table_text import csv_text, latex, markdown
from engine.compare.tables import PaperTable
from utils.files import atomic_write
from utils.markup import escape_markdown

FIGURES = {
    "pr_curves": (
        pr_figure,
        "Precision over recall at IoU .5, mean of the classes",
    ),
    "learning_curves": (learning_figure, "Scores of the validation after each epoch"),
    "error_kinds": (error_figure, "Points of mAP50 that each kind of error costs by itself (TIDE)"),
}
WRITERS = {"csv": csv_text, "md": markdown, "tex": latex}


def write_comparison(
    folder: Path,
    groups: Sequence[RunGroup],
    tables: Sequence[PaperTable],
    notes: Sequence[str],
    style: PaperStyle | None,
) -> list[Path]:
    """Write all files.

    Args:
        folder: Where they go.
        groups: What is compared.
        tables: The tables, in the order of compare.md.
        notes: What a reader must know.
        style: Of the figures; None draws none.

    Returns:
        The paths, compare.md last.
    """
    paths = [path for table in tables for path in write_table(folder, table)]
    pictures = []
    for title, files in write_figures(folder, groups, style).items() if style else ():
        paths += files
        pictures.append((files[0].name, title))
    text = overview_page(groups, tables, pictures, notes)
    return [*paths, _write(folder / "compare.md", text)]


def write_table(folder: Path, table: PaperTable) -> list[Path]:
    """Write a table as CSV, Markdown and LaTeX; return the paths."""
    return [
        _write(folder / f"{table.stem}.{suffix}", write(table)) for suffix, write in WRITERS.items()
    ]


def write_figures(
    folder: Path, groups: Sequence[RunGroup], style: PaperStyle
) -> dict[str, list[Path]]:
    """Write the figures that have something to show; return their files by their titles."""
    found = {}
    for stem, (draw, title) in FIGURES.items():
        figure = draw(groups, style)
        if figure is not None:
            found[title] = save_for_paper(figure, folder, stem, style)
    return found


def overview_page(
    groups: Sequence[RunGroup],
    tables: Sequence[PaperTable],
    pictures: Sequence[tuple[str, str]],
    notes: Sequence[str],
) -> str:
    """compare.md: which runs are compared, all tables, the figures, and the notes."""
    parts = ["# Comparison", *(f"- {escape_markdown(group.sentence())}" for group in groups), ""]
    for table in tables:
        parts += [f"## {table.stem}", "", markdown(table)]
    for name, title in pictures:
        said = (
            f"{title}. Lines and bars are means over the seeds; bands reach from the lowest seed to"
            " the highest, whiskers are standard deviations."
        )
        parts += [f"## {Path(name).stem}", "", f"![{title}]({name})", "", said, ""]
    if notes:
        parts += ["## Notes", "", *(f"- {escape_markdown(note)}" for note in notes)]
    return "\n".join(parts) + "\n"


def _write(path: Path, text: str) -> Path:
    with atomic_write(path) as file:
        # A path may contain bytes that are not UTF-8, which must not cost the report.
        file.write(text.encode("utf-8", errors="replace"))
    return path
