"""A person's exception of any type becomes words with a line number; signals pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.own.guard import LONGEST, Attempt, in_words
from utils.signals import StopRequested


class OfTheirOwn(Exception):
    pass


@pytest.mark.parametrize("kind", [ValueError, OfTheirOwn, NameError, RecursionError, SystemExit])
def test_every_exception_is_kept(kind: type[BaseException]) -> None:
    attempt = Attempt()
    with attempt:
        raise kind("no")
    assert isinstance(attempt.error, kind)
    assert in_words(attempt.error, Path("x.py")) == f"{kind.__name__}: no"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StopRequested(130)])
def test_signals_pass(error: BaseException) -> None:
    with pytest.raises(type(error)), Attempt():
        raise error


def test_a_block_that_succeeds_has_no_error() -> None:
    with Attempt() as attempt:
        pass
    assert attempt.error is None


def test_words_are_one_short_line_with_the_last_line_in_the_file() -> None:
    def inner() -> None:
        raise ValueError("a\n b " + "c" * 500)

    with Attempt() as attempt:
        inner()
    assert attempt.error is not None
    text = in_words(attempt.error, Path(__file__))
    line = inner.__code__.co_firstlineno + 1
    assert text.startswith("ValueError: a b ccc")
    assert text.endswith(f"(line {line})")
    assert len(text) < LONGEST + 50
    assert "(line" not in in_words(attempt.error, Path("other.py"))
