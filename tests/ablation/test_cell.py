"""A cell's process: it becomes train.py, is alone in its folder, and ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablation.cell import choose_flags
from ablation.job import CELL


def start(folder: Path, code: str, parent: int | None = None) -> subprocess.Popen[str]:
    program = folder.parent / "program.py"
    program.write_text(code)
    command = [
        sys.executable,
        str(CELL),
        str(folder),
        str(parent or os.getpid()),
        str(program),
        "--epochs",
        "2",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cell" / "weights").mkdir(parents=True)
    return tmp_path / "cell"


def test_the_folder_decides_how_a_cell_continues(folder):
    assert choose_flags(folder, ["--seed", "1"]) == ["--seed", "1"]
    (folder / "weights" / "last.pt").touch()
    assert choose_flags(folder, ["--seed", "1"]) == [
        "--resume",
        str(folder / "weights" / "last.pt"),
    ]
    # Files with own classes are given again, since a checkpoint does not bring them.
    assert choose_flags(folder, ["--modules=/a.py", "--seed", "1", "--modules=/b.py"]) == [
        "--resume",
        str(folder / "weights" / "last.pt"),
        "--modules=/a.py",
        "--modules=/b.py",
    ]
    (folder / "metrics.json").touch()
    assert choose_flags(folder, ["--seed", "1"]) == []


def test_it_becomes_the_program(folder):
    process = start(folder, "import os, sys; print(os.getpid(), *sys.argv[1:]); sys.exit(7)")
    assert process.communicate()[0].split() == [str(process.pid), "--epochs", "2"]
    assert process.returncode == 7


def test_a_second_process_waits_for_the_first_and_finds_the_cell_done(folder):
    mark = folder / "metrics.json"
    first = start(
        folder, f"import time; print('in', flush=True); time.sleep(0.5); open({str(mark)!r}, 'w')"
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "in\n"
    second = start(folder, "print('doubled')")
    assert second.communicate()[0] == "waiting for the process that still works on this run\n"
    assert (second.returncode, first.wait(), mark.is_file()) == (0, 0, True)


def test_it_does_not_start_when_its_parent_has_ended(folder):
    process = start(folder, "print('orphan')", parent=1)
    assert process.communicate()[0] == "process 1, which started this run, has ended\n"


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs the kernel's signal at the end of a parent"
)
def test_it_ends_with_its_parent(folder):
    code = f"""
import os, subprocess, sys
command = [{str(CELL)!r}, {str(folder)!r}, str(os.getpid()), {str(folder / "sleep.py")!r}, "x"]
subprocess.Popen([sys.executable, *command])
import time; time.sleep(60)
"""
    (folder / "sleep.py").write_text(
        "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < end, "the child still runs"
        time.sleep(0.01)
