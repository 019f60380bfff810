"""Loaders take turns, and the first one of each only warms up."""

from __future__ import annotations

import sys

import pytest

from bench.beside import loader
from bench.beside.bench import Bench, GraphCase
from bench.beside.loader import Turns, loader_part, take_turns
from bench.beside.programs import OURS, ULTRALYTICS, YOLOV5, make_programs

CODE = "class Loader:\n    def __iter__(self):\n        yield [[0] * 5]\nserve(Loader())"
FLAGS = ["", "64", "no", "all", "here", "hyp", "16"]


def test_programs_wait_for_their_turns():
    sides = [Turns(sys.executable, CODE, FLAGS, {}) for _ in range(2)]
    rates = take_turns(sides, 2, 12)
    assert [len(side) for side in rates] == [2, 2]
    assert min(min(side) for side in rates) > 0
    assert all(side.child.returncode is not None for side in sides)


def test_a_loader_that_fails_ends_the_comparison():
    with pytest.raises(SystemExit, match="status 1"):
        Turns(sys.executable, "raise SystemExit(1)", FLAGS, {})


def test_each_size_and_each_place_of_the_images_is_compared(tmp_path, monkeypatch):
    class Fake:
        def __init__(self, python, code, flags, home):
            started.append((flags[1:5], code == loader.LOADER_OURS))
            self.child, self.seconds = self, []
            self.cost = 0.5 if code == loader.LOADER_OURS else 1.0

        def take(self, count):
            self.seconds.append(self.cost if self.seconds else 9.0)

        def kill(self):
            pass

        wait = kill

    started = []
    monkeypatch.setattr(loader, "Turns", Fake)
    programs = make_programs({YOLOV5: "python"}, tmp_path, 2, "")
    cases = [GraphCase("yolov5s", 640, 8), GraphCase("yolov8n", 320, 16)]
    bench = Bench(programs, "bf16", "data.yaml", cases, {}, 2, say=lambda line: None)
    monkeypatch.setattr(bench, "stage", lambda program, train, val: program.home)
    files, pooled, memory, colours = loader_part(bench)
    assert started == [
        (["640", *options], is_ours)
        for options in loader.LOADER_CONDITIONS.values()
        for is_ours in (True, False)
    ]
    assert (files.ours, files.theirs, files.ratio) == ([2, 2], [1, 1], 2)
    assert (files.condition, memory.condition) == ("images from files", "images in memory")
    assert "--mosaic-pool batch" in pooled.condition
    assert "colours" in colours.condition
    assert (OURS in programs, ULTRALYTICS in programs) == (True, False)
