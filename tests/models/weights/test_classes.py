"""Classes of a checkpoint and of a data set: the same, in another order, renamed, or mixed up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.weights.classes import Renumbered, compare_classes, is_unnamed
from utils.errors import UserError
from utils.families import V5, V8

WHERE = ("best.pt", "my.yaml")


def compare(known: list[str], wanted: list[str]):
    return compare_classes(dict(enumerate(known)), dict(enumerate(wanted)), WHERE)


@pytest.mark.parametrize(("known", "wanted"), [
    (["cat", "dog"], ["cat", "dog"]),
    (["traffic light", "cell phone"], ["Traffic-Light", "cellphone"]),
    (["motorbike", "aeroplane", "sofa"], ["motorcycle", "airplane", "couch"]),
    (["0", "1"], ["cat", "dog"]),
    (["cat", "dog"], ["class0", "class1"]),
    (["cat", "cat"], ["cat", "cat"]),
])  # fmt: skip
def test_names_that_mean_the_same_are_silent(known, wanted):
    assert compare(known, wanted) == ((*range(len(known)),), "")


def test_the_same_names_in_another_order_match_by_name_with_a_note():
    order, note = compare(["cat", "dog", "cow"], ["cow", "Cat", "dog"])
    assert order == (2, 0, 1)
    assert note == "my.yaml has the classes of best.pt in another order; they match by name"


def test_other_names_of_equal_number_match_by_number_with_a_note():
    order, note = compare(["cat", "dog"], ["cat", "wolf"])
    assert order == (0, 1)
    assert note == (
        "1 of 2 class names differ, such as class 1: wolf in my.yaml and dog in best.pt; classes"
        " match by number"
    )


@pytest.mark.parametrize("wanted", [["dog", "wolf"], ["wolf", "cat"]])
def test_a_class_under_another_number_beside_other_names_is_refused(wanted):
    with pytest.raises(UserError, match=r"my\.yaml: class \d is (cat|dog), which is class \d in"):
        compare(["cat", "dog"], wanted)


def test_escape_sequences_of_names_are_not_repeated():
    assert "\x1b" not in compare(["cat"], ["\x1b[2Jdog"]).note


def test_numbers_and_numbered_words_are_no_names():
    assert is_unnamed({0: "0", 1: "class1", 2: "class_2"})
    assert not is_unnamed({0: "1"})


@pytest.mark.parametrize("family", [V5, V8])
def test_renumbered_scores_follow_the_names(family):
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.family, self.stride, self.channels = family, torch.tensor([8.0]), 3

        def forward(self, x, augment=False):
            return torch.arange(2.0 * (family.box_columns + 3)).view(1, 2, -1), [x]

    model = Renumbered(Model(), (2, 0, 1), {0: "a", 1: "b", 2: "c"})
    rows, raw = model(torch.zeros(1))
    scores = rows[0, 0, family.box_columns :] - family.box_columns
    assert scores.tolist() == [2, 0, 1]
    assert rows[0, :, : family.box_columns].equal(Model()(raw)[0][0, :, : family.box_columns])
    assert len(raw) == 1
