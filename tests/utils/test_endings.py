"""Signals end a program with one line and the status that shells give them, at any moment."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time

import pytest

from bench.behaviour.commands import PROGRAMS
from utils.files import ROOT

EARLY = "from utils.endings import expect_signals; expect_signals(); "
WAIT = "import time; print('ready', flush=True); time.sleep(60)"
PROGRAM = f"""
import sys
from utils.errors import run_main
def main(argv):
    {WAIT}
sys.exit(run_main(main, []))
"""


def started(program: str, **options: object) -> subprocess.Popen[str]:
    """Start a program, and wait until it prints a line."""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("program", [EARLY + WAIT, PROGRAM], ids=["imports", "main"])
@pytest.mark.parametrize(
    ("name", "status", "line"),
    [
        ("SIGHUP", 129, "stopped: the terminal was closed\n"),
        ("SIGINT", 130, "interrupted\n"),
        ("SIGTERM", 143, "stopped by SIGTERM\n"),
    ],
)
def test_a_signal_is_one_line_and_the_shells_status(program, name, status, line):
    child = started(program)
    child.send_signal(getattr(signal, name))
    assert child.communicate(timeout=60) == ("", line)
    assert child.returncode == status


def test_nohup_keeps_a_program_alive():
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    child = started(PROGRAM, preexec_fn=ignore)
    child.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert child.poll() is None
    child.kill()
    child.communicate()


def opening(node: ast.stmt) -> bool:
    """Whether a statement calls what expects signals; open_program() does, and reads the flags."""
    return "expect_signals()" in ast.unparse(node) or "open_program(" in ast.unparse(node)


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.endswith(".py")])
def test_programs_expect_signals_before_their_slow_imports(program):
    body = ast.parse((ROOT / program).read_text(encoding="utf-8")).body
    early = body[: next(i for i, node in enumerate(body) if opening(node))]
    imported = [
        ast.unparse(node) for node in early if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    slow = ("import torch", "import numpy", "from data.", "from models.", "from engine.")
    assert not [line for line in imported if line.startswith((*slow, "from ablation"))]
