"""A missing output is no terminal and shows no bar."""

from __future__ import annotations

import io

from utils.terminal import has_errors, is_terminal


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
