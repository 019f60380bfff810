"""The command line of the comparison, and its report."""

from __future__ import annotations

import json

import pytest

from bench.beside import __main__ as program
from bench.beside.bench import DEFAULTS
from bench.beside.comparison import Comparison
from bench.beside.programs import OURS, YOLOV5


def test_flags_become_a_bench(tmp_path):
    words = ["--yolov5-python", "python", "--yolov5-weights", "a.pt", "--isa", "AVX2"]
    words += ["--cases", "yolov5n:320:16", "--conditions", "defaults", "--rounds", "5"]
    bench = program.make_bench(program.parse_flags(words), tmp_path)
    assert list(bench.programs) == [OURS, YOLOV5]
    assert (bench.rounds, bench.conditions, bench.limited) == (5, (DEFAULTS,), True)
    assert bench.kind == "limited to AVX2"
    assert bench.weights[YOLOV5].endswith("/a.pt")


def test_two_epochs_are_too_few(capsys):
    with pytest.raises(SystemExit):
        program.parse_flags(["--epochs", "2"])
    assert "at least 3" in capsys.readouterr().err


def test_each_part_is_written_when_it_is_done(tmp_path, monkeypatch, capsys):
    out = tmp_path / "table.json"
    row = Comparison("start", "", "whole command", "s", YOLOV5, "bf16", [1.0], [2.0], ["python x"])

    def part(bench):
        yield row
        assert json.loads(out.read_text())["comparisons"][0]["ratio"] == 2

    monkeypatch.setitem(program.PARTS, "start", part)
    monkeypatch.setattr(program, "ask_versions", lambda one: f"{one.name}: torch 2")
    assert program.main(["--parts", "start", "--threads", "3", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "computes with 3 threads" in printed
    assert "1 / 2 = **2.00**" in printed
    assert "this project: torch 2" in out.with_suffix(".md").read_text()
