"""Classes whose labels have each other's names, as the confusion matrix shows them.

Two programs that number the same classes differently, or a list of names in another order, give a
validation set in which a detector that is right scores zero on these classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from utils.text import printable

# The probability to find a pair by chance anywhere in a matrix, if names were only guessed.
CHANCE = 1e-3
EXACT = 400  # objects up to which binomial probabilities are summed, instead of a normal limit


def find_swapped(confusion: np.ndarray) -> list[list[int]]:
    """Groups of classes, each of which is found under the name of the next one in its group.

    Objects of each class of a group have the next one's name more often than their own. A detector
    that merely confuses two classes does so in one direction at most: in both, its own outputs
    would tell the classes apart, only with exchanged names.

    Args:
        confusion: [nc + 1, nc + 1] counts, row predicted, column labelled, background last.

    Returns:
        The groups; the last class of each is found under the name of the first.
    """
    counts = np.asarray(confusion)[:-1, :-1].astype(int)
    classes = range(len(counts))
    # Both directions must hold, each by the root of the chance that is left to a pair.
    chance = math.sqrt(CHANCE / max(math.comb(len(counts), 2), 1))
    taken = {
        (one, other)
        for one in classes
        for other in np.flatnonzero(counts[:, one] > counts[one, one]).tolist()
        if probability(int(counts[other, one]), int(counts[one, one])) < chance
    }
    pairs = [[one, other] for one, other in sorted(taken) if one < other and (other, one) in taken]
    most = {one: int(counts[:, one].argmax()) for one in classes}
    return pairs or _circles({one: other for one, other in most.items() if (one, other) in taken})


def probability(wrong: int, right: int) -> float:
    """Of at least so many heads (wrong) among wrong + right throws of a coin."""
    total = wrong + right
    if total > EXACT:
        return 1 - NormalDist().cdf((wrong - right - 1) / math.sqrt(total))
    return sum(math.comb(total, heads) for heads in range(wrong, total + 1)) / 2.0**total


def _circles(following: Mapping[int, int]) -> list[list[int]]:
    """The circles of three and more classes in class -> next class."""
    circles, seen = list[list[int]](), set[int]()
    for start in following:
        circle, place = [start], following[start]
        while place in following and place not in circle:
            circle.append(place)
            place = following[place]
        if place == start and not seen & set(circle):
            circles.append(circle)
            seen |= set(circle)
    return circles


def swapped_sentence(group: Sequence[str]) -> str:
    """Which class is found under which name, for the names of a group."""
    pairs = zip(group, [*group[1:], group[0]], strict=True)
    shown = ", ".join(f"{printable(one, 40)} as {printable(other, 40)}" for one, other in pairs)
    return f"most objects are found under each other's names ({shown})"


def swapped_notes(confusion: np.ndarray, names: Mapping[int, str]) -> list[str]:
    """A note for each group of classes whose names are probably swapped."""
    return [
        f"{swapped_sentence([names[one] for one in group])}: the class numbers of these labels are"
        " probably not those of the training"
        for group in find_swapped(confusion)
    ]
