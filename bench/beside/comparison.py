"""Measurements of two programs, and the table of them.

A ratio tells how many times better this project is: its rate divided by the original's, or the
original's seconds or memory divided by its own. Below 1 it is worse.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from bench.markdown_table import markdown_rows
from utils.files import atomic_write

RATE = "images/s"
RATIO_LEGEND = """\
Cells: this project / the original = ratio (least to largest ratio of the turns). The first two are
medians over the turns, in which the programs took turns; a ratio above 1 says that this project is
better."""


@dataclass
class Comparison:
    """One quantity of both programs.

    Attributes:
        what: What they did, such as "train yolov5n, 320 px".
        condition: How: precision and caches.
        quantity: What was measured, such as "start".
        unit: Its unit: RATE, "s" or "MB".
        original: Name of the other program.
        kind: The kind of processor that the turns stand for, such as "bf16".
        ours, theirs: A value for each turn.
        commands: The command lines, ours first.
    """

    what: str
    condition: str
    quantity: str
    unit: str
    original: str
    kind: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @property
    def title(self) -> tuple[str, ...]:
        """What must be equal for two comparisons to stand in one row."""
        return self.what, self.condition, self.quantity, self.unit, self.original

    @property
    def ratio(self) -> float:
        """Ratio of the medians."""
        return self._better(statistics.median(self.ours), statistics.median(self.theirs))

    @property
    def ratios(self) -> list[float]:
        """Ratio of each turn."""
        return [self._better(*pair) for pair in zip(self.ours, self.theirs, strict=True)]

    def _better(self, ours: float, theirs: float) -> float:
        above, below = (ours, theirs) if self.unit == RATE else (theirs, ours)
        return above / below if below else float("nan")

    @property
    def cell(self) -> str:
        """Both medians and the ratio, as the table shows them."""
        ours, theirs = (number(statistics.median(side)) for side in (self.ours, self.theirs))
        low, high = min(self.ratios), max(self.ratios)
        return f"{ours} / {theirs} = **{self.ratio:.2f}** ({low:.2f} to {high:.2f})"


def number(value: float) -> str:
    """Three significant digits, without an exponent: 0.123, 12.3, 1,234."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def merge(old: Sequence[Comparison], new: Sequence[Comparison]) -> list[Comparison]:
    """The old comparisons, those that were measured again replaced, and the further new ones."""
    fresh = {(one.title, one.kind): one for one in new}
    kept = [fresh.pop((one.title, one.kind), one) for one in old]
    return [*kept, *fresh.values()]


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table with a row for each quantity and a column for each kind of processor."""
    kinds = list(dict.fromkeys(one.kind for one in comparisons))
    titles = list(dict.fromkeys(one.title for one in comparisons))
    cells = {(one.title, one.kind): one.cell for one in comparisons}
    rows = []
    for title in titles:
        what, condition, quantity, unit, original = title
        measured = [cells.get((title, kind), "") for kind in kinds]
        rows.append([what, condition, original, f"{quantity}, {unit}", *measured])
    return markdown_rows(["what", "condition", "original", "quantity", *kinds], rows)


def command_list(comparisons: Sequence[Comparison]) -> str:
    """The distinct command lines, one a line."""
    lines = dict.fromkeys(command for one in comparisons for command in one.commands)
    return "\n".join(f"    {line}" for line in lines)


def read_comparisons(path: Path) -> list[Comparison]:
    """The comparisons of a file of write_comparisons; none if there is no file."""
    if not path.exists():
        return []
    names = [one.name for one in fields(Comparison)]
    entries = json.loads(path.read_text())["comparisons"]
    return [Comparison(**{name: entry[name] for name in names}) for entry in entries]


def write_comparisons(path: Path, header: str, comparisons: Sequence[Comparison]) -> None:
    """Write the comparisons as JSON to path, and as text to the same name with .md.

    Args:
        path: File to write, with the suffix .json.
        header: What holds for all of them: machine, versions, conditions.
        comparisons: The comparisons.
    """
    entries = [{**asdict(one), "ratio": one.ratio, "ratios": one.ratios} for one in comparisons]
    content = {"header": header.splitlines(), "comparisons": entries}
    parts = (header, comparison_table(comparisons), RATIO_LEGEND)
    text = "\n\n".join((*parts, "Commands:", command_list(comparisons)))
    for place, written in ((path, json.dumps(content, indent=1)), (path.with_suffix(".md"), text)):
        with atomic_write(place, "w") as file:
            file.write(written + "\n")
