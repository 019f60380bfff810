"""The short forms of the table give the entries that they stand for."""

from __future__ import annotations

from torch import nn

from models.graph import entries
from models.graph.entries import Layer
from models.graph.factors import keeps


class Wide(nn.Identity):
    """A module with a name of its own."""


def test_each_form_names_its_rule_and_factor() -> None:
    stacked = entries.stacks(entries.halves, nn.Conv2d, Wide, repeats=True)
    assert stacked == {
        "Conv2d": Layer(nn.Conv2d, "stack", repeats=True, factor=entries.halves),
        "Wide": Layer(Wide, "stack", repeats=True, factor=entries.halves),
    }
    assert entries.keepers(keeps, nn.Dropout)["nn.Dropout"].rule == "keep"
    assert set(entries.sames(keeps, Wide, "a", "b")) == {"a", "b"}
    assert entries.stacks_as(keeps, Wide, "a", "b")["b"] == Layer(Wide, "stack", factor=keeps)
    assert (entries.halves(["anything"]), entries.quarters([])) == (2, 4)


def test_forms_with_two_meanings_know_both() -> None:
    (entry,) = entries.optional(Wide).values()
    assert (entry.rule, entry.counted) == ("same", Layer(Wide, "stack", factor=keeps))
    joined = entries.fuses(nn.Identity, "Join", counted=Wide)["Join"]
    assert (joined.rule, joined.counted) == ("fuse", Layer(Wide, "fuse", factor=keeps))
