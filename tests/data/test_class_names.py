"""Class names of a dataset YAML: numbers in quotes, and names that stand twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.class_names import read_names, repeated_names
from utils.errors import UserError

FILE = Path("data.yaml")


def test_names_are_text_in_the_order_of_their_numbers():
    assert list(read_names(FILE, {"names": {"1": 7, 0: " a "}}).items()) == [(0, "a"), (1, "7")]


@pytest.mark.parametrize("names", [{0: "a", 2: "b"}, {"x": "a"}, {0: "a", "00": "b"}, {None: "a"}])
def test_class_numbers_with_a_gap_or_twice_are_refused(names):
    with pytest.raises(UserError, match=r"data.yaml: names: the keys .* must be 0 to"):
        read_names(FILE, {"names": names})


def test_names_that_stand_twice_are_said_with_their_numbers():
    assert repeated_names({0: "a", 1: "b"}) == ""
    said = repeated_names({0: "a", 1: "b", 2: "a"})
    assert said == "names: several classes have one name: a (0, 2)"
