"""Programs answer --help and refuse a mistake in their flags before imports that take long."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engine.evaluation.settings import VAL_LINE
from utils.files import ROOT
from utils.opening import open_program

# Program -> a value that its flags refuse, and the beginning of the refusal.
PROGRAMS = {
    "train.py": (["--epochs", "0"], "--epochs=0: must be at least 1"),
    "val.py": (["--conf-thres", "2"], "--conf-thres=2.0: must be in 0..1"),
    "detect.py": (["--dnn"], "--dnn: OpenCV's DNN module is not used"),
    "export.py": (["--include", "onix"], "--include onix: no such format"),
    "benchmarks.py": (["--hard-fail", "2"], "--hard-fail=2: must be a share"),
    "explain.py": (["--layers", "top"], "--layers top: takes auto, head, backbone"),
    "ablate.py": (["--attention", "SimAM", "--delta", "0"], "--delta 0.0: must be above 0"),
    "tune.py": (["--trials", "0"], "--trials=0: must be 1 to"),
    "models/yolo.py": (["--imgsz", "0"], "--imgsz=0: must be 1 to 8192"),
    "data/convert.py": (["--out", "x"], "--data, --source: give exactly one of them"),
}
SLOW = ("torch", "cv2", "scipy", "pandas", "matplotlib", "PIL")
# Runs a program in this process for several command lines, and prints what each left behind.
RUNNER = f"""
import contextlib, io, json, runpy, sys
program, outcomes = sys.argv[1], []
for words in json.loads(sys.argv[2]):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = [program, *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(program, run_name="__main__")
            status = "ran on"
        except SystemExit as end:
            status = end.code
    slow = [name for name in {SLOW} if name in sys.modules]
    outcomes.append([status, out.getvalue(), err.getvalue(), slow])
print(json.dumps(outcomes))
"""


def outcomes(program: str, *lines: list[str]) -> list[tuple[int | str, str, str, list[str]]]:
    """(status, stdout, stderr, slow packages) of a program for each of these command lines."""
    command = [sys.executable, "-c", RUNNER, program, json.dumps(lines)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def test_a_program_that_runs_on_keeps_what_it_frees(monkeypatch):
    told = []
    monkeypatch.setattr("utils.opening.keep_freed_memory", lambda: told.append(True))
    monkeypatch.setattr("utils.opening.expect_signals", lambda: None)
    monkeypatch.setattr(sys, "argv", ["val.py"])
    open_program(VAL_LINE)
    assert told == [True]
    monkeypatch.setattr(sys, "argv", ["val.py", "--help"])
    with pytest.raises(SystemExit):
        open_program(VAL_LINE)
    assert told == [True]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_mistakes_are_answered_without_torch(program):
    words, refusal = PROGRAMS[program]
    help_, unknown, refused = outcomes(program, ["--help"], ["--bogus"], words)
    assert help_[0] == 0
    assert help_[1].startswith("usage: ")
    assert unknown[0] == refused[0] == 2
    assert unknown[2].startswith("error: unknown flag or value: --bogus; see ")
    assert refused[2].startswith(f"error: {refusal}")
    assert refused[2].count("\n") == 1
    assert help_[3] == unknown[3] == refused[3] == []


def test_right_flags_are_passed_on_and_signals_expected():
    program = (
        "import signal, sys; from utils.opening import open_program;"
        " from utils.train_line import TRAIN_LINE; open_program(TRAIN_LINE);"
        " print(signal.getsignal(signal.SIGTERM).__name__, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, "--epochs", "3"]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (child.returncode, child.stdout, child.stderr) == (0, "_end False\n", "")
