"""Ratios of bench/attention_speed.py: verdicts, the table of all cells, and README's table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.markdown_table import markdown_rows

NOISE = 0.03
TARGETS = {
    "SimAM": 2.0,
    **dict.fromkeys(("NAM", "CBAM", "CoordAttention", "SE", "BAM", "ECA"), 1.3),
}
KEPT_TARGETS = {"SimAM": 1 / 3}
SPEED_HEADERS = (
    "module",
    "map",
    "layout",
    "forward ms",
    "ratio",
    "training ms",
    "ratio",
    "kept MB",
    "difference",
    "target",
    "verdict",
)
SPEED_LEGEND = """\
A / B: listing / ours; times are the least of all rounds, in ms. forward: inference.
training: forward and backward. ratio: median of the rounds' ratios (quartiles), to which target and
verdict refer; where it is far from A / B, other programs were busy. kept: for the backward pass.
difference: of outputs, relative to the largest output. target: for the training ratio."""
LAYOUT_NAMES = {"nchw": "contiguous", "nhwc": "channels-last"}
RANGE_LEGEND = """\
How many times as fast as the listing (medians of the rounds; two numbers: over the map sizes), and
what is kept for the backward pass as a share of what the listing keeps."""


@dataclass
class PairTiming:
    """The measurements of a module at one shape in one layout: pairs are (listing, ours).

    forward and training have the milliseconds of each round, and kept has bytes.
    """

    name: str
    shape: tuple[int, ...]
    layout: str
    difference: float = float("nan")
    kept: tuple[int, int] = (0, 0)
    forward: list[tuple[float, float]] = field(default_factory=list)
    training: list[tuple[float, float]] = field(default_factory=list)

    @property
    def shortfalls(self) -> list[str]:
        """Names of the measurements that miss their limits; empty if the module passes."""
        held = {
            "training": quartiles(self.training)[1] >= TARGETS.get(self.name, 1.0) - NOISE,
            "forward": quartiles(self.forward)[1] >= 1 - NOISE,
            "kept": self.kept[1] <= 1.01 * KEPT_TARGETS.get(self.name, 1.0) * self.kept[0],
            "difference": self.difference < 1e-4,
        }
        return [word for word, holds in held.items() if not holds]

    def cells(self) -> list[str]:
        """The row under SPEED_HEADERS."""
        times = []
        for pairs in (self.forward, self.training):
            low, middle, high = quartiles(pairs)
            listing, ours = (min(side) for side in zip(*pairs, strict=True))
            times += [f"{listing:.1f} / {ours:.1f}", f"{middle:.2f} ({low:.2f}-{high:.2f})"]
        kept = " / ".join(f"{part / 1e6:.0f}" for part in self.kept)
        verdict = f"FALL SHORT: {', '.join(self.shortfalls)}" if self.shortfalls else "PASS"
        place = [self.name, "x".join(map(str, self.shape)), self.layout]
        return [
            *place,
            *times,
            kept,
            f"{self.difference:.0e}",
            f"{TARGETS.get(self.name, 1.0):.1f}",
            verdict,
        ]


def quartiles(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the quartiles of the ratios listing / ours; under four rounds, extremes and median."""
    ratios = sorted(listing / ours for listing, ours in pairs)
    if len(ratios) < 4:
        return ratios[0], statistics.median(ratios), ratios[-1]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high


def ratio_range(timings: Sequence[PairTiming], phase: str) -> str:
    """The least and the largest median ratio of a phase, "forward" or "training": 1.1 to 1.6."""
    middles = [f"{quartiles(getattr(one, phase))[1]:.1f}" for one in timings]
    low, high = min(middles, key=float), max(middles, key=float)
    return low if low == high else f"{low} to {high}"


def markdown_ranges(timings: Sequence[PairTiming]) -> str:
    """README's table: a row for each module, with the layouts of the maps side by side."""
    layouts = [name for name in LAYOUT_NAMES if name in {one.layout for one in timings}]
    headers = ["module"]
    for phase in ("forward and backward", "forward"):
        headers += [f"{phase}, {LAYOUT_NAMES[layout]}" for layout in layouts]
    rows = []
    for name in dict.fromkeys(one.name for one in timings):
        row = [name]
        for phase in ("training", "forward"):
            for layout in layouts:
                cells = [one for one in timings if (one.name, one.layout) == (name, layout)]
                row.append(ratio_range(cells, phase) if cells else "")
        shares = [one.kept[1] / one.kept[0] for one in timings if one.name == name]
        rows.append([*row, f"{statistics.median(shares):.2f}"])
    return markdown_rows([*headers, "kept for backward"], rows)
