"""Cells on a Ray cluster: what comes back from a node, and a study that loses one of its two nodes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ablate
from ablation.cluster import run_cell, write_missing
from ablation.job import make_job
from ablation.results import read_cells, read_scores, state
from ablation.setup import Slot
from ablation.study import make_arms, make_cells

SLOT = Slot("cpu", 0, {"OMP_NUM_THREADS": "1"})


def test_a_cell_that_ran_elsewhere_is_whole_here(make_config, pretend, tmp_path):
    config = make_config(seeds=1)
    there, here = (make_cells(config, make_arms(config))[0] for _ in range(2))
    status, reason, files = run_cell(make_job(config, there, SLOT))
    assert (status, reason, list(files)[-1]) == (0, "", "metrics.json")
    there.folder.rename(tmp_path / "elsewhere")
    assert state(here) == "new"
    write_missing(here, files)
    assert state(here) == "done"
    assert read_scores([here]) == {"plain": {0: 1e-5}}
    assert read_cells([here])[0].timing["images"] == 8
    kept = (here.folder / "metrics.json").stat().st_mtime_ns
    write_missing(here, {**files, "metrics.json": b"{}"})
    assert (here.folder / "metrics.json").stat().st_mtime_ns == kept


def test_a_cell_that_fails_elsewhere_says_why(make_config, pretend):
    pretend(fail=["plain_seed0"])
    config = make_config(seeds=1)
    status, reason, files = run_cell(
        make_job(config, make_cells(config, make_arms(config))[0], SLOT)
    )
    assert (status, reason) == (1, "exit status 1: RuntimeError: the sky fell")
    assert "metrics.json" not in files


@pytest.mark.slow
def test_a_node_is_lost_and_the_study_completes(make_config, tmp_path):
    pytest.importorskip("ray")
    flags = {"seeds": 2, "epochs": 4}
    config = make_config(**flags, name="undisturbed")
    expected = make_cells(config, make_arms(config))
    ablate.run_cells(config, expected)
    words = [
        "--data",
        config.data,
        "--cfg",
        config.cfg,
        "--imgsz",
        "64",
        "--batch",
        "4",
        "--workers",
        "0",
        "--device",
        "cpu",
        "--cores-per-cell",
        "1",
        "--seeds",
        "2",
        "--epochs",
        "4",
        "--train",
        config.train,
        "--project",
        str(tmp_path),
    ]
    program = Path(__file__).with_name("lost_node.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout
    assert "lost 2" in done.stdout
    config = make_config(**flags)
    cells = make_cells(config, make_arms(config))
    assert read_scores(cells) == read_scores(expected)
    for cell, other in zip(cells, expected, strict=True):
        assert (cell.folder / "results.csv").read_bytes() == (
            other.folder / "results.csv"
        ).read_bytes()
        assert (cell.folder / "train.log").read_text().count("Results in") == 1
    logs = "".join((cell.folder / "train.log").read_text() for cell in cells)
    assert logs.count("Validating") == 4
    assert len(list((tmp_path / "study" / "cells").iterdir())) == 4
