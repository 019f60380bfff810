"""What the parts ask of the programs, and what they make of the times."""

from __future__ import annotations

import math

import pytest

from bench.beside import parts
from bench.beside.bench import DEFAULTS, EQUAL, Bench, GraphCase
from bench.beside.comparison import RATE
from bench.beside.process import CommandTiming
from bench.beside.programs import OURS, ULTRALYTICS, YOLOV5, make_programs
from utils.errors import UserError

CASES = [GraphCase("yolov8n", 320, 16), GraphCase("yolov5n", 320, 16), GraphCase("yolov5s", 640, 8)]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A bench whose programs do not run: asked has the requests, and a run takes as many seconds
    as it has images, beside ten of start.
    """
    pythons = {YOLOV5: "python", ULTRALYTICS: "python"}
    weights = {YOLOV5: "v5.pt", ULTRALYTICS: "v8.pt"}
    programs = make_programs(pythons, tmp_path, 1, "")
    made = Bench(programs, "bf16", "data.yaml", CASES, weights, 1, images=30, say=lambda line: None)
    made.asked = []

    def stage(program, train, val):
        folder = program.home / f"data-{train}-{val}"
        for kind, count in (("train", train), ("val", val)):
            (folder / "images" / kind).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (folder / "images" / kind / f"{number}.png").touch()
        return folder

    def run(program, verb, request):
        made.asked.append((program.name, verb, request))
        source = str(request.get("data") or request.get("source"))
        many = 16 if "-16/" in source or "film16" in source else 30
        return CommandTiming(10.0 + many, 5.0, 700.0, [12.0, 14.0, 16.5, 19.5, 30.0])

    monkeypatch.setattr(made, "stage", stage)
    monkeypatch.setattr(made, "run", run)
    monkeypatch.setattr(parts, "make_film", lambda images, path, count: path.touch())
    return made


def test_first_and_last_epoch_are_not_counted():
    timing = CommandTiming(40.0, 60.0, 700.0, [12.0, 14.0, 16.5, 19.5, 30.0])
    assert parts.training_values(timing, 20) == {
        ("throughput", RATE): 8.0,  # epochs of 2, 2.5 and 3 s
        ("until the first batch", "s"): 9.5,
        ("processor time", "s"): 60.0,
        ("memory", "MB"): 700.0,
    }
    with pytest.raises(UserError, match="three epochs"):
        parts.training_values(CommandTiming(stamps=[1.0, 2.0]), 20)


def test_the_start_is_not_in_the_throughput_of_two_runs():
    few, many = CommandTiming(12.0, 10.0, 500.0), CommandTiming(20.0, 19.0, 600.0)
    values = parts.difference_values([few, many], [16, 96])
    assert values[("throughput", RATE)] == 10
    assert values[("whole command", "s")] == 20
    values = parts.difference_values([many, few], [16, 96])
    assert math.isnan(values[("throughput", RATE)])


@pytest.mark.parametrize(
    ("name", "condition", "limited", "flags"),
    [
        (OURS, EQUAL, False, {"cache": "ram", "precision": "fp32"}),
        (YOLOV5, EQUAL, False, {"cache": "ram"}),
        (ULTRALYTICS, EQUAL, True, {"cache": "ram"}),
        (OURS, DEFAULTS, False, {}),
        (OURS, DEFAULTS, True, {"precision": "fp32"}),  # it sees bf16 instructions all the same
        (YOLOV5, DEFAULTS, True, {}),
    ],
)
def test_conditions(bench, name, condition, limited, flags):
    bench.limited = limited
    assert parts.conditions_of(bench, condition, bench.programs[name]) == flags


def test_both_programs_train_the_same(bench):
    rows = list(parts.train_part(bench))
    assert len(rows) == 3 * 2 * 4  # cases, conditions, quantities
    (_, _, ours), (name, verb, theirs) = bench.asked[:2]
    assert (name, verb) == (ULTRALYTICS, "train")
    unlike = {key for key in ours | theirs if ours.get(key) != theirs.get(key)}
    assert unlike == {"data", "precision"}  # each has its own copy of the data
    assert rows[0].what == "train yolov8n, 320 px, batch 16"
    assert rows[0].condition == EQUAL


def test_a_checkpoint_of_each_original_is_scored_with_its_first_graph(bench):
    rows = list(parts.val_part(bench))
    assert [row.what for row in rows if row.unit == RATE] == [
        "val yolov5n, 320 px, batch 16",
        "val yolov8n, 320 px, batch 16",
    ]
    assert [row.ours for row in rows if row.unit == RATE] == [[1.0], [1.0]]
    assert [request["weights"] for _, _, request in bench.asked[::4]] == ["v5.pt", "v8.pt"]
    del bench.weights[YOLOV5]
    assert {row.original for row in parts.val_part(bench)} == {ULTRALYTICS}


def test_folders_and_films_are_searched(bench):
    rows = [row for row in parts.detect_part(bench) if row.original == YOLOV5]
    assert {row.what.split(",")[0] for row in rows} == {"detect in a folder", "detect in a film"}
    sources = [str(request["source"]).rsplit("/", 1)[-1] for _, _, request in bench.asked]
    assert sources[:8] == ["val"] * 4 + ["film16.mp4", "film500.mp4"] * 2


def test_the_start_is_told_by_short_commands(bench, monkeypatch):
    said = []
    monkeypatch.setattr(
        bench, "run_words", lambda program, verb, words: said.append(words) or CommandTiming(1.0)
    )
    rows = list(parts.start_part(bench))
    assert [words[-1] for words in said] == ["--help", "--help", "--help", "help"]
    assert [row.what for row in rows if row.quantity == "whole command"] == [
        "train --help",
        "train --help",
        "detect in one image, yolov5n, 320 px",
        "detect in one image, yolov8n, 320 px",
    ]
