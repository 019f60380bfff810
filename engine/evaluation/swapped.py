"""Classes whose labels have each other's names, as the confusion matrix shows them.

Two programs that number the same classes differently, or a list of names in another order, give a
validation set in which a detector that is right scores zero on these classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from utils.text import printable

# Half of the objects under a wrong name is what guessing gives. So many standard deviations above
# that come once in a thousand by chance, and in a group of two classes once in a million. 10
# objects are enough if all have the wrong name.
DEVIATIONS = 3.09


def find_swapped(confusion: np.ndarray) -> list[list[int]]:
    """Groups of classes, each of which is found under the name of the next one in its group.

    A detector that merely confuses two classes prefers the wrong name in one direction at most: if
    it did so in both, its own outputs would tell the classes apart, only with exchanged names.

    Args:
        confusion: [nc + 1, nc + 1] counts, row predicted, column labelled, background last.

    Returns:
        The groups; the last class of each is found under the name of the first.
    """
    counts = np.asarray(confusion)[:-1, :-1]
    taken = dict[int, int]()
    for labelled in range(len(counts)):
        found = int(counts[:, labelled].argmax())
        wrong, right = int(counts[found, labelled]), int(counts[labelled, labelled])
        if found != labelled and wrong - right > DEVIATIONS * math.sqrt(wrong + right):
            taken[labelled] = found
    groups, seen = list[list[int]](), set[int]()
    for start in taken:
        group, place = [start], taken[start]
        while place in taken and place not in group:
            group.append(place)
            place = taken[place]
        if place == start and not seen & set(group):
            groups.append(group)
            seen |= set(group)
    return groups


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
