"""A study whose runs have curves gets figures for a paper, and links to them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from ablation.report import html
from ablation.report.paper import Paper, paper_markdown, write_paper
from ablation.report.summary import make_lines
from ablation.results import StudyResult
from ablation.study import AA, PLAIN
from engine.compare.paper import PaperStyle
from tests.ablation.fake import make_study
from tests.engine.compare.material import write_run

SVG = PaperStyle(formats=("svg",))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """Two seeds of each arm, of which one cell has damaged curves."""
    made, folder = make_study({"SimAM@neck": 0.01}, seeds=2), tmp_path_factory.mktemp("cells")
    cells = []
    for number, cell in enumerate(made.cells):
        own = write_run(folder / f"cell {number}", 0.3 + 0.01 * number, cell.train_seed)
        cells.append(dataclasses.replace(cell, folder=own))
    damaged = next(cell for cell in cells if cell.arm == "SimAM@neck")
    (damaged.folder / "curves.npz").write_bytes(b"no archive")
    return dataclasses.replace(made, cells=cells)


@pytest.fixture(scope="module")
def written(study: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> tuple[Paper, Path]:
    folder = tmp_path_factory.mktemp("study")
    return write_paper(study, make_lines(study), folder, SVG), folder


def test_each_arm_but_the_controls_is_a_line(written: tuple[Paper, Path]) -> None:
    paper, folder = written
    rows = (folder / "paper" / "errors.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [[PLAIN, "2"], ["SimAM@neck", "1"]]
    assert AA not in "".join(rows)
    assert {path.stem for path in (folder / "paper").iterdir()} == {
        "pr_curves", "learning_curves", "error_kinds", "errors",
    }  # fmt: skip
    (note,) = paper.notes
    assert "curves.npz: cannot be read" in note


def test_the_page_and_the_table_link_to_the_files(
    study: StudyResult, written: tuple[Paper, Path]
) -> None:
    paper, folder = written
    page = html.render(study, make_lines(study), paper)
    links = re.findall(r'<a href="(paper/[^"]+)">', page)
    assert len(links) == 6
    assert links == re.findall(r"\]\(([^)]+)\)", paper_markdown(paper))
    assert {folder / link for link in links} == set((folder / "paper").iterdir())
    assert "<h2>For a paper</h2>" in page
    assert "curves.npz: cannot be read" in page


def test_runs_of_earlier_versions_give_no_figures(study: StudyResult, tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", 0.3)
    (old / "curves.npz").unlink()
    cells = [dataclasses.replace(study.cells[0], folder=old)]
    bare = dataclasses.replace(study, cells=cells)
    paper = write_paper(bare, make_lines(bare), tmp_path / "study", SVG)
    assert not paper.files
    assert paper_markdown(paper) == ""
    assert "For a paper" not in html.render(bare, make_lines(bare), paper)
    assert not (tmp_path / "study").exists()


def test_more_arms_than_a_column_holds_are_named(
    study: StudyResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.report.paper.MOST_ARMS", 1)
    monkeypatch.setattr("ablation.report.paper.write_figures", lambda *_: {})
    paper = write_paper(study, make_lines(study), tmp_path, SVG)
    assert "The figures show the first 1 of 2 arms, as above." in paper.notes
