"""The table states means over images, and how many passed."""

from __future__ import annotations

import pytest

from bench.sanity_check import row_of_table
from engine.explain.sanity import Likeness, Sanity


def test_a_row_has_means_and_counts_and_leaves_out_what_has_no_reference() -> None:
    low, high, top = (Likeness(value, value / 2, -value) for value in (0.2, 0.6, 0.8))
    passes = Sanity([7], [low], top, [low, low], [high, high])
    fails = Sanity([7], [top], top, [top, top], [top, top])
    without = Sanity([7], [low], None, [low], [high])
    cells = row_of_table("LayerCAM", "object", [passes, fails, without])
    assert cells[:5] == ["LayerCAM", "object", "2", "1", "1"]
    assert cells[5] == "0.80 / 0.50 / 0.70"
    assert cells[6] == "0.40 / 0.25 / 0.35"
    assert float(cells[7].split(" / ")[1]) == pytest.approx(-0.5)
