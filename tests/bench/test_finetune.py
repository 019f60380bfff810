"""The command line of the fine-tuning comparison: which runs are made, and how long they take."""

from __future__ import annotations

import json

import pytest

from bench import finetune
from bench.beside.programs import OURS, YOLOV5
from bench.finetune_runs import FinetuneSet, Result
from utils.errors import UserError


def test_a_set_is_a_file_and_the_size_of_its_images():
    assert finetune.read_set("a:b/neudet.yaml:224") == FinetuneSet("neudet", "a:b/neudet.yaml", 224)
    for text in ("neudet.yaml", "neudet.yaml:", ":224", "neudet.yaml:wide"):
        with pytest.raises(UserError, match="FILE:PIXELS"):
            finetune.read_set(text)


def plan():
    return finetune.planned_runs([FinetuneSet(name, name, 64) for name in "ab"], [0, 1])


def test_both_programs_of_a_seed_run_side_by_side():
    runs = plan()
    assert [(run.dataset.name, run.seed) for run in runs[::2]] == [
        *(("a", 0), ("a", 1)),
        *(("b", 0), ("b", 1)),
    ]
    assert {run.program for run in runs[::2]} == {OURS}
    assert {run.program for run in runs[1::2]} == {YOLOV5}
    assert len({run.name for run in runs}) == 8


def test_the_time_left_is_that_of_alike_runs():
    done = [Result("a", OURS, 0, [], [], seconds=10), Result("a", YOLOV5, 0, [], [], seconds=20)]
    assert finetune.remaining_seconds(plan(), done) == 10 + 20 + 4 * 15  # b is not known yet
    assert finetune.remaining_seconds(plan(), []) == 0


def test_the_report_is_written_after_each_run(tmp_path, monkeypatch, capsys):
    written = []

    def make(run, settings, programs, out):
        written.append((out / "table.md").exists())
        scores = {OURS: (0.5, 0.3), YOLOV5: (0.5, 0.3)}
        return Result(run.dataset.name, run.program, run.seed, [0.1, 0.2], [0.2, 0.3], scores, 60)

    monkeypatch.setattr(finetune, "make_run", make)
    monkeypatch.setattr(finetune, "ask_versions", lambda program: program.name)
    words = ["--weights", "yolov5n.pt", "--yolov5-python", "python", "--sets", "a.yaml:64"]
    assert finetune.main([*words, "--seeds", "3", "--out", str(tmp_path)]) == 0
    assert written == [False, True]
    results = json.loads((tmp_path / "results.json").read_text())
    assert [one["program"] for one in results] == [OURS, YOLOV5]
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert "1 of 2 runs are made; the others take about 1 min" in capsys.readouterr().out
