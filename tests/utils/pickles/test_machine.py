"""The machine that follows pickles, against what the standard library writes."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest

from utils.pickles.checks import Refused, printable_text
from utils.pickles.machine import Machine
from utils.pickles.objects import Budget

THINGS = [
    None,
    True,
    0,
    255,
    65535,
    -1,
    2**31,
    -(2**40),
    1.5,
    "text",
    "Ü\u2028",
    b"bytes",
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [],
    [1, [2, [3]]],
    {},
    {"a": {"b": None}, 3: (4, 5)},
    {"x": [1] * 300},
    "a" * 300,
]


class Nothing:
    """Meanings that refuse every name."""

    def refuse(self, *_: Any) -> Any:
        raise Refused("is not known")

    find = call = new = build = fetch = refuse


def follow(program: bytes) -> Any:
    return Machine(Nothing(), Budget()).run(program)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(protocol: int) -> None:
    for thing in THINGS:
        if protocol < 3 and isinstance(thing, bytes):
            continue  # those protocols write them as a call
        assert follow(pickle.dumps(thing, protocol)) == thing, thing


def test_sets_of_the_later_protocols_and_shared_values() -> None:
    assert follow(pickle.dumps({1, "a"}, 4)) == {1, "a"}
    assert follow(pickle.dumps(frozenset((1, 2)), 4)) == {1, 2}
    shared = [1]
    again = follow(pickle.dumps([shared, shared], 2))
    assert again[0] is again[1]
    loop: list[Any] = []
    loop.append(loop)
    found = follow(pickle.dumps(loop, 2))
    assert found[0] is found


def test_names_are_asked_for_and_never_imported() -> None:
    with pytest.raises(Refused, match="is not known"):
        follow(pickle.dumps(pytest.raises, 2))


def test_what_a_file_says_is_shown_on_one_line() -> None:
    assert printable_text("a\nb\x1b[0m" + "c" * 200).isprintable()
    assert len(printable_text("x" * 500)) == 80
    assert printable_text([1]) == "list"


def test_a_text_of_which_python_warns_is_refused_under_warnings_as_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Refused, match="not a valid pickle"):
            follow(b"S'\\q'\n.")
