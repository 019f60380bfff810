"""The campaign on YAML: it reaches every place and program, and a case that fails is counted."""

from __future__ import annotations

import pytest

from bench.faults.measured import MeasuredCall, measured_call
from bench.faults.yaml_bombs import PROGRAMS, VALUES, WHOLE, make_bombs
from bench.faults.yaml_damage import DAMAGES, damaged
from bench.faults.yaml_files import PROGRAMS_OF, count_calls, main
from utils.errors import UserError


def fail() -> None:
    raise ZeroDivisionError


def refuse() -> None:
    raise UserError("a: b")


@pytest.mark.parametrize(("call", "how", "text"), [
    (lambda: 5, "read", "5"),
    (refuse, "refused", "a: b"),
    (fail, "traceback", "ZeroDivisionError"),
    (lambda: bytearray(10**12), "traceback", "MemoryError"),
])  # fmt: skip
def test_a_call_is_measured_in_a_process_of_its_own(call, how, text):
    found = measured_call(call)
    assert found.how == how
    assert text in found.text


def test_memory_and_time_are_those_of_the_call():
    found = measured_call(lambda: len(bytearray(b"x") * 2**26) + sum(range(5_000_000)))
    assert 60 < found.megabytes < 140
    assert 0.01 < found.seconds < 5


def test_a_hundred_bombs_have_every_construction_file_and_program():
    bombs = make_bombs(100)
    assert {bomb.construction for bomb in bombs} == {*VALUES, *WHOLE}
    assert len({*VALUES, *WHOLE}) >= 20
    reached = {(bomb.file, bomb.program) for bomb in bombs}
    assert reached == set(PROGRAMS_OF)
    assert reached == {(file, one) for file, each in PROGRAMS.items() for one in each}


def test_damage_is_repeatable_and_of_every_kind():
    text = b"a: 1\nb:\n  - c: 2\n  - d\n" * 5
    copies = [damaged(text, number) for number in range(64)]
    assert copies == [damaged(text, number) for number in range(64)]
    for kind in range(len(DAMAGES)):
        assert any(copy != text for copy in copies[kind :: len(DAMAGES)])


def test_what_does_not_hold_is_counted():
    calls = [
        MeasuredCall("read", "x", 9, 900),
        MeasuredCall("read", "y", 0, 0),
        MeasuredCall("refused", "", 6, 400),
        MeasuredCall("traceback", "", 0, 0),
        MeasuredCall("killed", "", 20, 0),
    ]
    assert count_calls("title", calls, "x") == ("title", 5, 1, 1, 1, 2, 2, 1)


@pytest.mark.slow
def test_a_small_campaign_holds():
    assert main(["--bombs", "100", "--damaged", "40"]) == 0
