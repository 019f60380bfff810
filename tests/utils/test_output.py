"""Output streams: every text can be printed on every terminal, and a lost stream is noticed."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from utils.files import ROOT
from utils.output import print_anywhere
from utils.text import display_width

PROGRAM = """
import sys
from utils.errors import run_main
from utils.text import display_width, printable
def main(argv):
    for name in ("数据", "car", "é\\u0301", "\\udcb3x"):
        print(printable(name) + " " * (6 - display_width(printable(name))) + "|")
    print("raw \\udcb3|")
    print("\\x1b[31mred\\u202e\\ttab")
    sys.stderr.write("\\rbar")
    return 0
sys.exit(run_main(main, []))
"""


def run(redirection: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the small program above in a shell, with a redirection of its output."""
    command = f'exec "{sys.executable}" -c "$PROGRAM" {redirection}'
    return subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PROGRAM": PROGRAM, **environment},
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252", "gbk"])
def test_a_terminal_of_any_encoding_shows_an_aligned_table(encoding):
    child = run(PYTHONIOENCODING=encoding)
    assert child.returncode == 0
    assert child.stderr == b"\rbar"
    *table, raw, last = child.stdout.decode(encoding).splitlines()
    can_show = encoding in ("utf-8", "gbk")
    assert table[0] == ("数据  |" if can_show else "????  |")
    assert {display_width(line) for line in table} == {7}
    assert raw == ("raw \N{REPLACEMENT CHARACTER}|" if encoding == "utf-8" else "raw ?|")
    assert last == "\\x1b[31mred\\u202e\ttab"


@pytest.mark.parametrize(
    ("redirection", "status", "line"),
    [
        (">/dev/full", 2, "error: standard output: cannot be written (No space left on device)"),
        ("2>/dev/full", 2, ""),
        (">/dev/full 2>&1", 2, ""),
        (">&-", 0, "\rbar"),
        ("2>&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
)
def test_a_full_or_closed_output_has_its_status_and_at_most_one_line(redirection, status, line):
    child = run(redirection)
    assert child.returncode == status
    assert child.stderr.decode().removeprefix("\rbar").strip() == line.strip().removeprefix("bar")


def test_the_next_file_does_not_get_the_number_of_a_closed_output():
    program = (
        "import os, sys; from utils.errors import run_main;"
        " sys.exit(run_main(lambda argv: os.open(os.devnull, os.O_RDONLY), []))"
    )
    command = f'exec "{sys.executable}" -c "{program}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], cwd=ROOT, timeout=60).returncode > 2


def test_streams_of_others_are_left_alone(monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    print_anywhere("数据 é")
    ascii_only.flush()
    assert ascii_only.buffer.getvalue() == b"?? ?\n"
    assert ascii_only.errors == "strict"
