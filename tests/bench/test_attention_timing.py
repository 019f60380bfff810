"""Verdicts and tables follow the figures."""

from __future__ import annotations

import pytest

from bench.attention_timing import (
    SPEED_HEADERS,
    PairTiming,
    markdown_ranges,
    quartiles,
    ratio_range,
)


def cell(name: str, forward: float, training: float, kept: tuple[int, int]) -> PairTiming:
    made = PairTiming(name, (1, 8, 4, 4), "nchw", difference=1e-7, kept=kept)
    made.forward, made.training = [(forward, 1.0)] * 5, [(training, 1.0)] * 5
    return made


@pytest.mark.parametrize(
    ("name", "forward", "training", "kept", "verdict"),
    [
        ("SimAM", 1.0, 2.0, (300, 100), "PASS"),
        ("SimAM", 1.0, 1.9, (300, 100), "FALL SHORT: training"),
        ("SimAM", 1.0, 2.0, (300, 120), "FALL SHORT: kept"),
        ("SE", 1.0, 1.3, (300, 300), "PASS"),
        ("SE", 0.9, 1.4, (300, 310), "FALL SHORT: forward, kept"),
        ("LSK", 0.98, 0.98, (300, 300), "PASS"),
        ("LSK", 1.0, 0.9, (300, 300), "FALL SHORT: training"),
    ],
)
def test_verdicts(
    name: str, forward: float, training: float, kept: tuple[int, int], verdict: str
) -> None:
    made = cell(name, forward, training, kept)
    assert len(made.cells()) == len(SPEED_HEADERS)
    assert made.cells()[-1] == verdict
    made.difference = float("nan")
    assert made.shortfalls[-1] == "difference"


def test_quartiles() -> None:
    pairs = [(float(value), 2.0) for value in (2, 4, 6, 8, 10)]
    assert quartiles(pairs) == (2.0, 3.0, 4.0)
    assert quartiles(pairs[:3]) == (1.0, 2.0, 3.0)


def test_readme_shows_the_layouts_apart() -> None:
    """A range is over map sizes only: 1.1 and 1.6 contiguous, 2.1 and 3.0 channels-last."""
    found = []
    for layout, ratios in {"nchw": (1.14, 1.63), "nhwc": (2.07, 2.98)}.items():
        for ratio in ratios:
            found.append(cell("CBAM", 2.0, ratio, (100, 52)))
            found[-1].layout = layout
    assert ratio_range(found, "training") == "1.1 to 3.0"
    header, _, row = markdown_ranges(found).splitlines()
    assert header == (
        "| module | forward and backward, contiguous | forward and backward, channels-last"
        " | forward, contiguous | forward, channels-last | kept for backward |"
    )
    assert row == "| CBAM | 1.1 to 1.6 | 2.1 to 3.0 | 2.0 | 2.0 | 0.52 |"
    assert markdown_ranges(found[:2]).splitlines()[2] == "| CBAM | 1.1 to 1.6 | 2.0 | 0.52 |"
