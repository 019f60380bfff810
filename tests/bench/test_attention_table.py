"""What a module does to its input is found by running it."""

from __future__ import annotations

import pytest
import torch

from bench.attention_table import effect_of, growth
from models.attention import build_attention


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


def test_attention_over_all_pairs_grows_with_the_square_of_positions():
    x = torch.randn(1, 32, 32, 32)
    assert growth(build_attention("MHSA", 32), x) > 1.6
    assert growth(build_attention("SE", 32), x) < 1.2
