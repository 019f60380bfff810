"""Text of strangers changes neither the terminal, nor the next line, nor a spreadsheet."""

from __future__ import annotations

import time

import pytest

from utils.text import csv_cell, printable, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("car", "car"),
        ("车辆 é 🚗", "车辆 é 🚗"),
        ("می‌خواهم", "می‌خواهم"),
        ("全角\u3000space\xa0", "全角\u3000space\xa0"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nerror: b\r", "a\\nerror: b\\r"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\udcb3\udcb5.jpg", "\ufffd\ufffd.jpg"),
    ],
)
def test_strange_signs_become_harmless(text, expected):
    assert printable(text) == expected
    printable(text).encode("utf-8")


def test_long_text_is_cut():
    assert printable("x" * 50, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10


def test_a_value_is_shown_without_a_walk_through_all_of_it():
    laughs: list[object] = ["ha"] * 9
    for _ in range(30):
        laughs = [laughs] * 9
    start = time.perf_counter()
    for value in (laughs, {"a": laughs}, (laughs,), 10**100_000, "x" * 10_000_000):
        assert len(shown(value)) <= 120
    assert time.perf_counter() - start < 1


def test_a_shown_value_looks_as_in_python():
    assert shown([1, "two", None, {"a": 1.5}]) == "[1, 'two', None, {'a': 1.5}]"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"])
def test_a_cell_is_never_a_formula(text):
    assert csv_cell(text) == f"'{text}"


def test_numbers_and_plain_text_stay_in_a_cell():
    assert [csv_cell(value) for value in (-1.5, 3, "a-b")] == ["-1.5", "3", "a-b"]
