"""The campaign of kills notices what a killed training would lose or leave."""

from __future__ import annotations

import random

import pytest
import torch

from bench.faults import kills
from bench.faults.common import Ended
from bench.faults.kills import Course, Reference, Trial, main, try_one
from bench.faults.stage import Place
from bench.faults.victim import Instant


@pytest.fixture
def trial(tmp_path):
    """A trial whose reference has ended."""
    stage = tmp_path / "stage"
    stage.mkdir()
    reference = Place(stage / "reference", stage, "v5")
    write_run(reference.folder)
    return Trial(stage, Reference(reference, 0.5, (Instant("os.fsync", 1),)), False, 0, 0)


def write_run(folder, results="1\n"):
    (folder / "run" / "weights").mkdir(parents=True, exist_ok=True)
    for name in ("opt.yaml", "hyp.yaml", "metrics.json"):
        (folder / "run" / name).write_text("{}")
    for name in ("last.pt", "best.pt"):
        torch.save({"training": None}, folder / "run" / "weights" / name)
    (folder / "run" / "results.csv").write_text(results)


def outcome(trial, monkeypatch, finish, struck=(137, True)):
    """The faults of a trial whose processes are not started: finish() stands for the last one."""
    end = Ended(struck[0], "", "", 0.1)
    monkeypatch.setattr(kills, "_strike", lambda *_: (end, struck[1]))
    monkeypatch.setattr(kills, "survivors", lambda _: 0)
    monkeypatch.setattr(Place, "finish", lambda place, _: finish(place))
    return try_one(trial)


def test_a_run_that_ends_alike_has_no_faults(trial, monkeypatch):
    def finish(place):
        write_run(place.folder)
        return Ended(0, "", "", 0.1)

    course = outcome(trial, monkeypatch, finish)
    assert course.faults == []
    assert course.kills == random.Random("0 0").randint(1, kills.MOST_KILLS)
    assert course.anew > 0


def test_a_row_that_differs_and_a_leftover_are_faults(trial, monkeypatch):
    def finish(place):
        write_run(place.folder, "2\n")
        (place.folder / "run" / ".best.pt.tmp-12").touch()
        return Ended(0, "", "", 0.1)

    faults = outcome(trial, monkeypatch, finish).faults
    assert faults == ["different: results.csv", "left over: run/.best.pt.tmp-#"]


def test_a_refusal_to_resume_is_a_fault_unless_the_run_has_finished(trial, monkeypatch):
    def refusing(text):
        def finish(place):
            write_run(place.folder)
            return Ended(2, "", f"error: {text}\n", 0.1)

        return finish

    faults = outcome(trial, monkeypatch, refusing("last.pt is damaged")).faults
    assert faults == ["refused: status 2, error: last.pt is damaged"]
    assert outcome(trial, monkeypatch, refusing("the run is finished")).faults == []


def test_a_traceback_and_a_hanging_process_are_faults_of_a_killed_one_too():
    course = Course("v5")
    text = "Traceback (most recent call last):\n  x\nOSError: a\n"
    course.note(Ended(1, "", text, 0.1), is_killed=True)
    course.note(Ended(137, "", "", 99.0, limit="time"), is_killed=True)
    assert course.faults == ["traceback: OSError: a", "hung: beyond 60 s after 0 kills"]


@pytest.mark.slow
def test_killed_trainings_end_as_one_that_was_left_alone(capsys):
    assert main(["--count", "5", "--at-write", "5"]) == 0
    assert "two processes" in capsys.readouterr().out
