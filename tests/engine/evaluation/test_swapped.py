"""Swapped names: groups of classes that are found under each other's names, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation.swapped import find_swapped, probability, swapped_notes

NAMES = {0: "disc", 1: "ring", 2: "square", 3: "star"}


def confusion(*pairs: tuple[int, int, int], right: int = 30) -> np.ndarray:
    """30 right detections of each class, but for (labelled, found, count) those under a name."""
    matrix = np.diag([right, right, right, right, 0]).astype(float)
    for labelled, found, count in pairs:
        matrix[labelled, labelled] = max(right - count, 0)
        matrix[found, labelled] = count
    return matrix


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [
        ([(1, 3, 29), (3, 1, 30)], [[1, 3]]),
        ([(0, 1, 30), (1, 2, 30), (2, 0, 30)], [[0, 1, 2]]),
        ([(0, 1, 30), (1, 0, 30), (2, 3, 30), (3, 2, 30)], [[0, 1], [2, 3]]),
        ([(1, 3, 29)], []),  # in one direction: a class that is hard to tell
        ([(1, 3, 15), (3, 1, 15)], []),  # no more than chance
        ([(1, 3, 29), (3, 2, 29)], []),  # nothing comes back
        ([(1, 4, 30), (3, 4, 30)], []),  # not found at all
    ],
)
def test_groups(pairs: list[tuple[int, int, int]], groups: list[list[int]]) -> None:
    assert find_swapped(confusion(*pairs)) == groups


def test_six_objects_are_too_few() -> None:
    """0.5^7 is below the root of 1e-3 / 6 pairs."""
    for count, groups in ((7, [[1, 3]]), (6, [])):
        assert find_swapped(confusion((1, 3, count), (3, 1, count), right=count)) == groups
    assert find_swapped(np.zeros((1, 1))) == find_swapped(np.zeros((3, 3))) == []


def test_a_third_name_may_be_more_frequent() -> None:
    weak = confusion((1, 3, 30), (3, 1, 30), right=30)
    weak[0, 1] = 40  # most of the objects of one class are taken for another one anyway
    assert find_swapped(weak) == [[1, 3]]


def test_probabilities_of_a_coin() -> None:
    assert probability(7, 0) == 2**-7
    assert probability(3, 3) == pytest.approx(42 / 64)
    assert probability(230, 171) == pytest.approx(0.0019, abs=1e-4)  # beyond the exact sum
    assert probability(229, 171) == pytest.approx(0.0021, abs=1e-4)


def test_the_note_names_both_classes() -> None:
    (note,) = swapped_notes(confusion((1, 3, 30), (3, 1, 30)), NAMES)
    assert note.startswith(
        "most objects are found under each other's names (ring as star, star as ring): "
    )
    assert swapped_notes(confusion(), NAMES) == []
