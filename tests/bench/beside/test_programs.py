"""The same request in the words of each program, in a home of its own."""

from __future__ import annotations

import sys

import pytest

from bench.beside.programs import OURS, ULTRALYTICS, YOLOV5, make_programs
from utils.files import ROOT


@pytest.fixture
def programs(tmp_path):
    pythons = {YOLOV5: "/there/python", ULTRALYTICS: "/other/python"}
    return make_programs(pythons, tmp_path, 2, "AVX2")


REQUEST = {"cfg": "yolov8n.yaml", "weights": "", "batch-size": 4, "nosave": True, "noplots": True}


def test_yolov5_gets_the_flags_that_ours_gets(programs):
    ours, theirs = (programs[name].words("train", REQUEST) for name in (OURS, YOLOV5))
    assert ours[:2] == [sys.executable, str(ROOT / "train.py")]
    assert theirs[0] == "/there/python"
    assert "'yolov5.train'" in theirs[2]
    assert ours[2:] == theirs[3:]
    assert ours[2:] == [
        *("--cfg", "yolov8n.yaml", "--weights", "", "--batch-size", "4"),
        *("--nosave", "--noplots"),
    ]


def test_ultralytics_gets_the_same_in_its_own_words(programs):
    words = programs[ULTRALYTICS].words("train", REQUEST)
    assert words[3:] == ["detect", "train", "model=yolov8n.yaml", "batch=4", "plots=False"]
    words = programs[ULTRALYTICS].words("detect", {"weights": "a.pt", "source": "images"})
    assert words[3:] == ["detect", "predict", "model=a.pt", "source=images", "save=True"]


def test_ultralytics_is_told_of_a_core_more_than_it_shall_use(programs):
    assert "os.cpu_count = lambda: 3;" in programs[ULTRALYTICS].start("train")[2]


def test_all_programs_get_the_same_threads_and_instructions(programs, tmp_path):
    for program in programs.values():
        command = program.command(["x"])
        assert command.environment["OMP_NUM_THREADS"] == "2"
        assert command.environment["ONEDNN_MAX_CPU_ISA"] == "AVX2"
        assert command.environment["HOME"] == str(program.home)
        assert program.home.is_relative_to(tmp_path)
    assert len({program.home for program in programs.values()}) == 3
    assert (programs[YOLOV5].home / "Ultralytics/Arial.ttf").stat().st_size > 10_000


def test_no_limit_of_instructions_and_no_original_unless_asked_for(tmp_path):
    programs = make_programs({YOLOV5: None, ULTRALYTICS: ""}, tmp_path, 1, "")
    assert list(programs) == [OURS]
    assert "ONEDNN_MAX_CPU_ISA" not in programs[OURS].command(["x"]).environment


def test_the_reader_sees_usual_command_lines(programs):
    shown = {
        name: program.shown(program.words("val", {"data": program.home / "data.yaml"}))
        for name, program in programs.items()
    }
    assert shown == {
        OURS: "python val.py --data HOME/data.yaml",
        YOLOV5: "python -m yolov5.val --data HOME/data.yaml",
        ULTRALYTICS: "python -m ultralytics detect val data=HOME/data.yaml",
    }
    assert programs[ULTRALYTICS].shown(programs[ULTRALYTICS].help()).endswith("ultralytics help")
    assert programs[OURS].shown(programs[OURS].help()) == "python train.py --help"
    assert programs[OURS].shown(["/a/python", "-c", "import this", "x"]) == "python -c ... x"
