"""A missing output is no terminal and shows no bar."""

from __future__ import annotations

import io

from utils.output import OBEYED
from utils.terminal import has_errors, heading, is_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_is_one():
    assert is_terminal(Terminal())
    assert not is_terminal(io.StringIO())
    assert not is_terminal(None)
    assert not is_terminal(object())


def test_a_program_without_a_console_has_no_stderr(monkeypatch):
    assert has_errors()
    monkeypatch.setattr("sys.stderr", None)
    assert not has_errors()


def test_colours_are_for_terminals_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert heading("Model") == "Model"
    monkeypatch.setattr("sys.stdout", Terminal())
    assert heading("Model") == "\x1b[1;34mModel\x1b[0m"
    assert not OBEYED.search(heading("Model"))
    assert OBEYED.search("\x1b[2J")
    assert OBEYED.search("\x1b")
    monkeypatch.setenv("NO_COLOR", "1")
    assert heading("Model") == "Model"
