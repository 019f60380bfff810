"""The campaign of damaged label files: a few of each kind hold, and it notices what does not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.faults.labels import FAILED, KINDS, READ, REFUSED, Outcome, damage, run, try_files
from utils.errors import UserError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_damaged_label_files_are_read_or_refused_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(list(KINDS), 6, costly=False)
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == list(KINDS)
    assert all(line.split()[4] == "0" for line in table[1:])


@pytest.mark.slow
def test_costly_label_files_are_bounded() -> None:
    assert run(list(KINDS), 100)


def test_a_traceback_and_a_message_of_two_lines_count_as_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(folder: Path) -> None:
        text = (folder / "list.txt").read_text()
        if text == "crash":
            raise KeyError(text)
        if text:
            raise UserError(text)

    monkeypatch.setitem(KINDS, "list", ("list.txt", KINDS["list"][1], say))
    outcomes = try_files("list", [b"", b"one line", b"crash", b"two\nlines", b""])
    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts == [READ, REFUSED, FAILED, FAILED, READ]
    assert not Outcome(READ, 6, 1).holds
    assert not Outcome(READ, 1, 400).holds


def test_damage_is_the_same_each_time_and_changes_the_text() -> None:
    text = KINDS["voc"][1]().encode()
    first, again = (damage(text, np.random.default_rng(5)) for _ in range(2))
    assert first == again != text
