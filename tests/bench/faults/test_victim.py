"""Faults strike at the instant that was asked for."""

from __future__ import annotations

import os

import pytest

from bench.faults.common import measured
from bench.faults.victim import Instant, arm, count_calls, strike_self
from utils.files import atomic_write


def struck_at(text: str, tmp_path):
    """Write three files and let SIGKILL strike at an instant."""

    def program() -> None:
        arm(Instant.parse(text), lambda: strike_self("KILL"))
        for name in "abc":
            with atomic_write(tmp_path / name) as file:
                file.write(name.encode() * 1000)

    ended = measured(program, 20, 500)
    # Nothing is left of a temporary name, which does not say what the file was to be called.
    return ended.status, sorted(path.name.partition(".tmp")[0] for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("instant", "left"),
    [
        ("os.replace:2:before", ["", "a"]),
        ("os.replace:2:after", ["a", "b"]),
        ("os.fsync:1:half", [""]),
    ],
)
def test_a_kill_strikes_at_its_instant(instant, left, tmp_path):
    assert struck_at(instant, tmp_path) == (137, left)
    if instant.endswith("half"):
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size == 500


def test_an_instant_that_does_not_come_changes_nothing(tmp_path):
    assert struck_at("os.replace:4", tmp_path) == (0, ["a", "b", "c"])


def test_calls_are_recorded_in_their_order(tmp_path):
    def program() -> None:
        count_calls(("os.replace", "os.getcwd"), tmp_path / "calls")
        os.getcwd()
        with atomic_write(tmp_path / "a"):
            os.getcwd()

    assert measured(program, 20, 500).status == 0
    assert (tmp_path / "calls").read_text().split() == ["os.getcwd", "os.getcwd", "os.replace"]
