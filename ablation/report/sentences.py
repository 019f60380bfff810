"""The verdicts of a study in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablation.report.columns import signed, word_of
from ablation.report.summary import Line, is_control
from ablation.statistics.planning import LEAST_SEEDS, MOST_SEEDS
from ablation.study import PLAIN
from utils.text import counted

if TYPE_CHECKING:
    from ablation.statistics.verdicts import ArmVerdict

WORDS = {"helps": "helps", "hurts": "hurts", "no evidence": "shows no evidence either way"}
# The words of the overview for one arm, and for several.
COUNTED = {
    "helps": ("helps", "help"),
    "hurts": ("hurts", "hurt"),
    "no evidence": ("shows no evidence either way", "show no evidence either way"),
    "too few": ("has too few seeds for a verdict", "have too few seeds for a verdict"),
    "no result": ("has no result", "have no result"),
}


def interval(verdict: ArmVerdict) -> str:
    """`+1.20 (95 % interval +0.40 to +2.00)`, in points."""
    difference, low, high = (
        signed(100 * value, "+.2f") for value in (verdict.difference, verdict.low, verdict.high)
    )
    has_ends = math.isfinite(verdict.low + verdict.high)
    return f"{difference} ({f'95 % interval {low} to {high}' if has_ends else 'no interval'})"


def sentence(line: Line, delta: float) -> str:
    """An arm's verdict as the rest of a sentence that begins with its name. delta is in 0..1."""
    verdict = line.verdict
    if verdict is None or not math.isfinite(verdict.difference):
        return f"has no verdict: no run could be compared{lost(line)}"
    said = WORDS.get(verdict.verdict, "")
    if verdict.seeds < LEAST_SEEDS:
        said = "has too few seeds for a verdict"
    said += f": {interval(verdict)} points over {counted(verdict.seeds, 'seed')}{lost(line)}"
    return said + (of_control(verdict) if is_control(line.name) else of_arm(line, verdict, delta))


def of_control(verdict: ArmVerdict) -> str:
    """The meaning of a control's verdict for those of the other arms."""
    if verdict.seeds < LEAST_SEEDS:
        return ""
    if verdict.verdict == "no evidence":
        return "; as it should be, because only the seeds differ"
    return (
        "; but only the seeds differ: this is chance in one study of twenty, and otherwise a sign"
        " that the other verdicts cannot be trusted either"
    )


def of_arm(line: Line, verdict: ArmVerdict, delta: float) -> str:
    """An arm's latency, and how many seeds would show a difference of delta.

    Args:
        line: the arm.
        verdict: the arm's verdict.
        delta: smallest difference of interest, in 0..1.
    """
    ratio = line.costs.latency_ratio if line.costs is not None else None
    said = f", at {ratio:.2f} × the latency" if ratio is not None else ""
    further = verdict.further_seeds
    if verdict.verdict != "no evidence":
        return said
    if line.is_hopeless:
        return f"{said}; it got no more runs, having hardly a chance of being shown to help"
    if not further:
        return said
    seeds = counted(further, "more seed")
    # further_seeds stops its search at MOST_SEEDS, so this number is a lower bound.
    if verdict.seeds + further >= MOST_SEEDS:
        return f"{said}; showing a difference of {100 * delta:g} takes more than {MOST_SEEDS} seeds"
    if math.isfinite(verdict.low) and verdict.seeds >= LEAST_SEEDS:
        planned = of_looks(line, verdict.seeds + further)
        return f"{said}; {seeds} would show a difference of {100 * delta:g}{planned}"
    return f"{said}; {seeds} {'is' if further == 1 else 'are'} the least for a verdict"


def of_looks(line: Line, needed: int) -> str:
    """Whether an arm may simply get the seeds that it needs: a look is planned there, or later."""
    later = [seeds for seeds in line.looks_left if seeds >= needed]
    if later:
        return f", and may simply be run, because a look after {later[0]} seeds is planned"
    return f", more than the last look after {line.looks_left[-1]}" if line.looks_left else ""


def lost(line: Line) -> str:
    return f" ({counted(line.failed, 'run')} failed)" if line.failed else ""


def overview(lines: Sequence[Line], failed: int) -> str:
    """`Of 6 arms 1 helps, 1 hurts, 4 show no evidence either way. 1 run failed.`"""
    words = [
        "too few" if line.verdict and line.verdict.seeds < LEAST_SEEDS else word_of(line)
        for line in lines
        if line.name != PLAIN and not is_control(line.name)
    ]
    if not words:
        text = of_controls_only(lines)
        return text + lost_runs(failed)
    counts = [(words.count(word), *forms) for word, forms in COUNTED.items()]
    said = ", ".join(
        f"{count} {one if count == 1 else many}" for count, one, many in counts if count
    )
    text = (
        f"Of {len(words)} arms {said}." if len(words) > 1 else f"The arm {said.split(' ', 1)[1]}."
    )
    return text + lost_runs(failed)


def lost_runs(failed: int) -> str:
    """A sentence on failed runs, with a space before it; "" if there are none."""
    return f" {counted(failed, 'run')} failed." if failed else ""


def of_controls_only(lines: Sequence[Line]) -> str:
    """The overview of a study without attention."""
    begin = "Only the baseline was trained, also under other seeds: "
    judged = [
        line
        for line in lines
        if line.verdict
        and line.verdict.seeds >= LEAST_SEEDS
        and math.isfinite(line.verdict.difference)
    ]
    if not judged:
        return f"{begin}no control has enough seeds for a verdict."
    out = sum(word_of(line) in ("helps", "hurts") for line in judged)
    return (
        f"{begin}{out or 'none'} of {counted(len(judged), 'control')} stand{'s' * (out < 2)} out."
    )
