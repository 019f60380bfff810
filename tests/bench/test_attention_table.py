"""What a module does to its input is found by running it."""

from __future__ import annotations

import pytest

from bench.attention_table import effect_of, growth


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("SE", "channel"),
        ("CBAM", "channel × position"),
        ("CoordAttention", "channel × row × column"),
        ("SGE", "position of a group"),
        ("SimAM", "value"),
        ("ShuffleAttention", "shuffled value"),
        ("GlobalContext", "adds a summary"),
        ("NonLocal", "adds"),
        ("LKA", "replaces"),
    ],
)
def test_effects(name, effect):
    assert effect_of(name) == effect


@pytest.mark.parametrize(
    ("name", "least", "most"), [("MHSA", 1.9, 2.0), ("CrissCross", 1.1, 1.5), ("SE", 1.0, 1.01)]
)
def test_attention_over_all_pairs_grows_with_the_square_of_positions(name, least, most):
    assert least <= growth(name, 32) <= most
