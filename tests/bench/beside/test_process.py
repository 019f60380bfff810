"""A timed command: its times, the memory of its processes, and the rows of the table it writes."""

from __future__ import annotations

import os
import sys

import pytest

from bench.beside import process
from bench.beside.process import TimedCommand, run_timed, tree_memory
from utils.errors import UserError

TRAINING = """
import sys, time
for epoch in range(2):
    time.sleep(0.15)
    with open(sys.argv[1], "a") as file:
        file.write(("header\\n" if epoch == 0 else "") + f"{epoch}\\n")
time.sleep(0.1)
"""
FAMILY = """
import os, time
held = bytearray(60_000_000)
if os.fork() == 0:
    own = bytearray(30_000_000)
    time.sleep(0.3)
    os._exit(0)
start = time.process_time()
while time.process_time() - start < 0.2:
    pass
os.wait()
"""


def command(tmp_path, text, *words, **environment):
    start = (sys.executable, "-S", "-c", text, *words)
    return TimedCommand(start, tmp_path, environment)


def test_rows_of_the_watched_table_are_stamped(tmp_path):
    table = tmp_path / "results.csv"
    timing = run_timed(command(tmp_path, TRAINING, str(table)), tmp_path / "log", table)
    first, second = timing.stamps
    assert 0.15 <= first < second < timing.wall
    assert second >= 0.3
    assert timing.wall >= 0.4
    assert timing.processor < timing.wall  # it slept


def test_memory_of_the_children_is_added_and_shared_memory_counted_once(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "MEMORY_SECONDS", 0.05)
    timing = run_timed(command(tmp_path, FAMILY), tmp_path / "log")
    assert 90 < timing.memory < 130  # 60 and 30 MB; twice 60 would give 150
    assert timing.processor >= 0.2


def test_a_process_that_has_ended_has_no_memory():
    assert tree_memory(os.getpid()) > 10
    assert tree_memory(2**22 + 1) == 0


def test_a_failure_shows_what_the_program_said(tmp_path, capsys):
    failing = command(tmp_path, "print('no such file'); raise SystemExit(3)")
    with pytest.raises(UserError, match="status 3 of"):
        run_timed(failing, tmp_path / "log")
    assert "no such file" in capsys.readouterr().err


def test_variables_that_change_a_program_are_removed_unless_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    text = "import os; print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('PYTHONPATH'))"
    run_timed(command(tmp_path, text), tmp_path / "log")
    assert (tmp_path / "log").read_text() == "None None\n"
    run_timed(command(tmp_path, text, OMP_NUM_THREADS="2"), tmp_path / "log")
    assert (tmp_path / "log").read_text() == "2 None\n"
