"""Programs take turns, and each works in its own folders."""

from __future__ import annotations

import pytest

from bench.beside import bench as module
from bench.beside.bench import Bench, GraphCase
from bench.beside.process import CommandTiming
from bench.beside.programs import OURS, ULTRALYTICS, YOLOV5, make_programs
from utils.errors import UserError


@pytest.fixture
def bench(tmp_path):
    programs = make_programs({YOLOV5: "python"}, tmp_path, 1, "")
    said = []
    made = Bench(programs, "bf16", "data.yaml", [], {}, rounds=2, say=said.append)
    made.said = said
    return made


def test_a_case_names_graph_pixels_and_batch():
    case = GraphCase.read("yolov5s:640:8")
    assert (case.graph, case.imgsz, case.batch, case.original) == ("yolov5s", 640, 8, YOLOV5)
    assert str(case) == "yolov5s, 640 px, batch 8"
    assert GraphCase.read("yolo11n:320:16").original == ULTRALYTICS


@pytest.mark.parametrize("text", ["yolov5n", "yolov5n:320", ":320:16", "yolov5n:320:many"])
def test_another_form_of_a_case_is_refused(text):
    with pytest.raises(UserError, match="yolov5n:320:16"):
        GraphCase.read(text)


def test_programs_run_in_turn(bench):
    order = []

    def measure(program):
        order.append(program.name)
        return {("throughput", "images/s"): float(len(order))}

    (row,) = bench.compare("train", "float32", YOLOV5, measure)
    assert order == [OURS, YOLOV5, OURS, YOLOV5]
    assert (row.ours, row.theirs) == ([1, 3], [2, 4])
    assert (row.what, row.quantity, row.kind) == ("train", "throughput", "bf16")


def test_without_the_original_nothing_is_run(bench):
    assert list(bench.compare("train", "float32", ULTRALYTICS, lambda program: 1 / 0)) == []


def test_a_run_has_a_fresh_folder_and_only_a_training_is_watched(bench, monkeypatch):
    run = []

    def fake(command, log, table):
        run.append((command, log, table))
        return CommandTiming()

    monkeypatch.setattr(module, "run_timed", fake)
    ours = bench.programs[OURS]
    (ours.home / "runs/train").mkdir(parents=True)
    bench.run(ours, "train", {"imgsz": 320})
    assert not (ours.home / "runs").exists()
    bench.run(ours, "val", {})
    tables = [table for _, _, table in run]
    assert tables == [ours.home / "runs/train/results.csv", None]
    assert run[0][0].words[2:] == (
        *("--imgsz", "320", "--project", str(ours.home / "runs")),
        *("--name", "train"),
    )
    assert bench.lines == {OURS: "python val.py --project HOME/runs --name val"}
