"""Standard streams that fail are a request to stop, and never an exception."""

from __future__ import annotations

import os
import sys

import pytest

from utils.streams import GuardedStream, guarded_output, has_failed


class Broken:
    """A stream whose reader has ended, or whose disk is full."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, _text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))

    def fileno(self) -> int:
        raise ValueError("a stream of a test has no file")


@pytest.mark.parametrize(("number", "status"), [(32, 141), (28, 2), (5, 141)])
def test_a_failed_write_is_reported_once_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    heard: list[tuple[int, str]] = []
    monkeypatch.setattr(sys, "stdout", Broken(number))
    with guarded_output():
        print("lost")
        with guarded_output(lambda *failure: heard.append(failure)):  # learns what failed before
            print("lost, too", flush=True)
            assert has_failed(sys.stdout)
            assert not has_failed(sys.stderr)
        assert isinstance(sys.stdout, GuardedStream)
    assert heard == [(status, f"standard output cannot be written ({os.strerror(number)})")]
    assert isinstance(sys.stdout, Broken)


def test_text_passes_through_line_by_line(capfd: pytest.CaptureFixture[str]) -> None:
    with guarded_output():
        print("one")
        print("two", file=sys.stderr)
        assert capfd.readouterr() == ("one\n", "two\n")
