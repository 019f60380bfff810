"""Cells run to their end in spite of failures, signals and SIGKILL. They only pretend to train."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ablate
from ablation import job
from ablation.board import Board
from ablation.config import StudyConfig
from ablation.engines import run_local, run_ray
from ablation.files import read_json
from ablation.job import describe_end
from ablation.results import read_failures, read_scores, state
from ablation.study import Cell, make_arms, make_cells
from utils.errors import UserError
from utils.signals import StopRequested


def cells_of(config: StudyConfig) -> list[Cell]:
    return make_cells(config, make_arms(config))


def run(config: StudyConfig) -> list[Cell]:
    cells = cells_of(config)
    ablate.run_cells(config, cells)
    return cells


def trace(folder: Path) -> list[str]:
    return (folder / "trace").read_text().splitlines()


def test_all_cells_run_once_and_none_again(make_config, pretend, tmp_path, capsys):
    config = make_config()
    cells = run(config)
    assert {state(cell) for cell in cells} == {"done"}
    assert sorted(line.split()[1] for line in trace(tmp_path)) == sorted(
        cell.folder.name for cell in cells
    )
    assert "A/A seed 1001 is done: mAP50-95 20.02; " in capsys.readouterr().out
    run(config)
    assert len(trace(tmp_path)) == len(cells)


def test_a_failed_cell_does_not_stop_the_others_and_is_tried_once_more(
    make_config, pretend, tmp_path, capsys
):
    pretend(fail=["A-A_seed1000"])
    cells = run(make_config(slots=1))
    assert [state(cell) for cell in cells] == ["done", "failed", "done", "done"]
    assert read_failures(cells) == {"A/A seed 1000": "exit status 1: RuntimeError: the sky fell"}
    assert "A/A seed 1000 failed, the others continue: exit status 1" in capsys.readouterr().out
    run(make_config())
    assert "A/A seed 1000 is tried again" in capsys.readouterr().out
    assert read_json(cells[1].folder / "failed.json")["attempts"] == 2
    before = trace(tmp_path)
    pretend()
    assert state(run(make_config())[1]) == "failed"
    assert trace(tmp_path) == before


def test_a_cell_that_succeeds_at_last_counts(make_config, pretend, tmp_path):
    pretend(fail=["plain_seed1"])
    run(make_config(slots=1))
    pretend()
    cells = run(make_config())
    assert {state(cell) for cell in cells} == {"done"}
    assert read_failures(cells) == {}
    assert "resume plain_seed1 1" in trace(tmp_path)


def test_a_cell_gets_the_cores_of_its_slot(make_config, pretend, tmp_path):
    run(make_config(seeds=1, cores_per_cell=3))
    assert trace(tmp_path)[0].endswith(" 3")


def in_a_fork(config: StudyConfig) -> multiprocessing.Process:
    """Another process that runs the study, without the seconds that importing torch takes."""
    process = multiprocessing.get_context("fork").Process(target=stopped, args=(config,))
    process.start()
    return process


def stopped(config: StudyConfig) -> None:
    try:
        run(config)
    except StopRequested as request:
        os._exit(request.status)


def test_sigterm_lets_the_cells_save_themselves(make_config, pretend, tmp_path):
    pretend(seconds=0.4)
    config = make_config(epochs=50)
    process = in_a_fork(config)
    cells = cells_of(config)
    wait_for(lambda: all(state(cell) == "partial" for cell in cells[:2]))
    os.kill(process.pid, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 143
    assert [state(cell) for cell in cells] == ["partial", "partial", "new", "new"]
    assert [(cell.folder / "train.log").read_text() for cell in cells[:2]] == ["saved\n", "saved\n"]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def outcome(cells: list[Cell]) -> Any:
    return read_scores(cells), [(cell.folder / "results.csv").read_bytes() for cell in cells]


@pytest.mark.parametrize("cycles", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_at_any_moment_and_started_again_it_ends_the_same(
    make_config, pretend, tmp_path, cycles
):
    pretend(seconds=0.05)
    undisturbed = outcome(run(make_config(name="undisturbed", epochs=3)))
    (tmp_path / "trace").unlink()
    config, draw = make_config(epochs=3), random.Random(0)
    cells = cells_of(config)
    for _ in range(cycles):
        process = in_a_fork(config)
        time.sleep(draw.uniform(0.0, 0.4))
        process.kill()
        process.join()
    assert outcome(run(config)) == undisturbed
    seen = Counter(line.rpartition(" ")[0] for line in trace(tmp_path))
    assert not [line for line in seen if line.startswith("DOUBLED")]
    assert {state(cell) for cell in cells} == {"done"}


@pytest.mark.parametrize(
    ("log", "status", "said"),
    [
        (b"1%\r50%\rerror: no data\n\n", 2, "exit status 2: error: no data"),
        (
            b"Traceback\nRuntimeError: out of memory\n",
            1,
            "exit status 1: RuntimeError: out of memory",
        ),
        (b"", -signal.SIGKILL, "killed by SIGKILL: nothing was printed"),
        (b"", -40, "killed by signal 40: nothing was printed"),  # a real-time signal has no name
        (b"x" * 50_000 + b"\n\xff last", 1, "exit status 1: \ufffd last"),
        (None, 1, "exit status 1: no train.log: No such file or directory"),
    ],
)
def test_why_a_cell_ended_is_one_line(tmp_path, log, status, said):
    if log is not None:
        (tmp_path / "train.log").write_bytes(log)
    assert describe_end(tmp_path, status) == said


def test_without_ray_the_remedy_is_named(make_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install ray"):
        run_ray([], make_config(), Board(0, 0, 1))


def test_what_a_cell_leaves_after_the_last_failure_is_kept(make_config, pretend):
    pretend(fail=["plain_seed0"])
    cell = run(make_config(seeds=1, slots=1))[0]
    assert read_json(cell.folder / "failed.json") == {
        "reason": "exit status 1: RuntimeError: the sky fell",
        "status": 1,
        "attempts": 1,
        "log": str(cell.folder / "train.log"),
    }
    assert json.loads((cell.folder / "weights" / "last.pt").read_text())["done"] == [0]


def test_the_child_is_train_py():
    assert job.TRAIN.name == "train.py"
    assert job.TRAIN.is_file()
    assert run_local is ablate.ENGINES["local"]
