"""The columns of the report's main table, and the format of their values.

Scores are in 0..1 in a StudyResult and points (times 100) in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ablation.report.summary import Line
from ablation.study import PLAIN

Value = float | str | None


@dataclass(frozen=True)
class Column:
    """A column of the main table.

    Attributes:
        name: header of the column.
        hint: explanation of the name.
        value: the value of a line; None or nan if there is none.
        form: format of a number, "p" for a p-value, "" for text.
    """

    name: str
    hint: str
    value: Callable[[Line], Value]
    form: str = ""


def word_of(line: Line) -> str:
    """The verdict in one or two words."""
    if line.verdict is not None:
        return line.verdict.verdict
    return "baseline" if line.name == PLAIN else "no result"


def of_verdict(name: str, factor: float = 1.0) -> Callable[[Line], Value]:
    """A function that reads a field of a line's verdict, times a factor."""

    def value(line: Line) -> Value:
        found: Value = getattr(line.verdict, name, None)
        return factor * found if isinstance(found, float) else found

    return value


def of_costs(name: str) -> Callable[[Line], Value]:
    """A function that reads a field of a line's costs."""
    return lambda line: getattr(line.costs, name, None)


def share_reached(line: Line) -> float | None:
    """Percentage of the seeds that reached the target; None without seeds."""
    return 100 * line.reached.seeds / line.reached.of if line.reached.of else None


REPORT_COLUMNS = (
    Column("#", "number in the charts", lambda line: line.number, "d"),
    Column("arm", "which attention, and where", lambda line: line.name),
    Column("verdict", "at the study's level, all arms considered", word_of),
    Column(
        "difference",
        "mAP50-95 minus the baseline's, points: mean of common seeds, corrected by its other seeds",
        of_verdict("difference", 100),
        "+.2f",
    ),
    Column("low", "lower end of the simultaneous interval, points", of_verdict("low", 100), "+.2f"),
    Column(
        "high", "upper end of the simultaneous interval, points", of_verdict("high", 100), "+.2f"
    ),
    Column("p", "adjusted for all arms", of_verdict("p"), "p"),
    Column("p exact", "sign-flip test with Holm's adjustment", of_verdict("p_sign_flip"), "p"),
    Column(
        "more seeds",
        "further pairs of seeds that would show a difference of delta with power 0.8",
        of_verdict("further_seeds"),
        "d",
    ),
    Column("seeds", "finished runs", lambda line: line.seeds, "d"),
    Column("mAP50-95", "mean over seeds, %", lambda line: 100 * line.score, ".2f"),
    Column("mAP50", "mean over seeds, %", lambda line: 100 * line.score50, ".2f"),
    Column("parameters", "of the network", of_costs("parameters"), ",d"),
    Column("GFLOPs", "of one image, fused", of_costs("gflops"), ".2f"),
    Column("MB moved", "read and written by one forward pass", of_costs("megabytes_moved"), ".0f"),
    Column("ms", "latency of one image, fused, median", of_costs("latency_ms"), ".2f"),
    Column(
        "× plain",
        "latency divided by the baseline's, measured in turn",
        of_costs("latency_ratio"),
        ".3f",
    ),
    Column(
        "train s",
        "seconds of training, mean of the runs, without validation",
        of_costs("train_seconds"),
        ",.0f",
    ),
    Column("memory MB", "peak of training, the largest of the runs", of_costs("memory_mb"), ",.0f"),
    Column(
        "epochs to plain",
        "until the curve reaches the baseline's final mean, median of the seeds that do",
        lambda line: line.reached.epochs,
        ".0f",
    ),
    Column(
        "s to plain", "the same in seconds of training", lambda line: line.reached.seconds, ",.0f"
    ),
    Column("reached by", "share of seeds that reached it", share_reached, ".0f%"),
)
# Names of the columns for a terminal and for a paper, which have less room than a page.
SHORT_TABLE = (
    "#",
    "arm",
    "verdict",
    "difference",
    "low",
    "high",
    "p",
    "more seeds",
    "mAP50-95",
    "parameters",
    "GFLOPs",
    "× plain",
)


def show(column: Column, line: Line) -> str:
    """A line's value in a column as text, "" where there is nothing to show."""
    value = column.value(line)
    if value is None or isinstance(value, str):
        return value or ""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if column.form == "p":
        return f"{value:.3f}" if value >= 0.001 else "< 0.001"
    # % is no part of a format here, since the value is a percentage already.
    form, unit = (column.form[:-1], "%") if column.form.endswith("%") else (column.form, "")
    return signed(value, form) + unit


def signed(value: float, form: str) -> str:
    """A number with a real minus sign, and without a sign before zero."""
    text = f"{value:{form}}"
    return text[1:] if text[:1] in "+-" and not text.strip("+-0.") else text.replace("-", "−")


def filled(lines: Sequence[Line], names: Sequence[str] = ()) -> list[Column]:
    """The columns in which at least one line has a value.

    Args:
        lines: lines of the report.
        names: names of the columns to choose from; () for all.
    """
    wanted = [column for column in REPORT_COLUMNS if not names or column.name in names]
    return [column for column in wanted if any(show(column, line) for line in lines)]
