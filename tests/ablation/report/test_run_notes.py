"""What is said in a study's report of the notes of its runs."""

from __future__ import annotations

import dataclasses

from ablation.report.html import render
from ablation.report.run_notes import run_notes
from ablation.report.summary import make_lines
from ablation.report.tables import terminal
from ablation.results import StudyResult
from tests.ablation.fake import make_study

LEFT_OUT = "train: 1 of 9 images were left out (a<b>.png: empty file)"


def noted(*notes: object) -> StudyResult:
    """A study whose cells have these `notes`, in turn."""
    study = make_study({"SimAM@neck": 0.0})
    cells = [
        dataclasses.replace(cell, metrics={**cell.metrics, "notes": notes[at % len(notes)]})
        for at, cell in enumerate(study.cells)
    ]
    return dataclasses.replace(study, cells=cells)


def test_the_notes_of_the_runs_are_in_the_report_and_on_the_terminal() -> None:
    study = noted([LEFT_OUT])
    runs = len(study.cells)
    assert run_notes(study) == {LEFT_OUT: f"{runs} of {runs} runs"}
    lines = make_lines(study)
    assert f"note: {LEFT_OUT} ({runs} of {runs} runs)" in terminal(study, lines)
    page = render(study, lines)
    assert "Notes of the runs" in page
    assert "a&lt;b&gt;.png" in page


def test_runs_without_notes_add_nothing() -> None:
    study = noted([], None, "damaged")
    assert run_notes(study) == {}
    assert "Notes of the runs" not in render(study, make_lines(study))


def test_many_notes_of_single_runs_are_cut() -> None:
    told = run_notes(noted([f"note {number}" for number in range(14)]))
    assert len(told) == 11
    assert told["…"] == "4 more in the runs' metrics.json"
