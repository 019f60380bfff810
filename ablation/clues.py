"""Clues on why an arm differs from the baseline, each a sentence with its figures and a weight.

The evidence is the arm's cells beside the baseline's, and the measurements of gates.py. These clues
are symptoms; faults.py has those that name a fault.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ablation.gates import GateStats, Health
from ablation.report.summary import (
    SCORE,
    Cells,
    Difference,
    by_class,
    by_size,
    column,
    mean_difference,
    pairs,
)

if TYPE_CHECKING:
    from ablation.results import CellResult
    from ablation.statistics.verdicts import ArmVerdict

END_SHARE = 0.1  # of the epochs, whose mean stands for the end of a run


@dataclass(frozen=True)
class Clue:
    """A sentence and its weight: 1 is just worth saying, 2 is twice as far from the ordinary."""

    weight: float
    sentence: str


def of_gates(health: Health | None) -> Iterator[Clue]:
    """The most remarkable gate in each respect: nearly off, scaling, constant, saturated."""
    gates = [gate for gate in health.gates if math.isfinite(gate.mean)] if health else []
    begun = [gate for gate in health.gates if gate.alpha is not None] if health else []
    if begun:
        gate = min(begun, key=lambda gate: abs(gate.alpha or 0.0))
        yield Clue(
            2.5 - 25 * abs(gate.alpha or 0.0),
            f"{gate.name} has hardly left its start as identity: its factor alpha is"
            f" {gate.alpha:.3f}, where 1 stands for the whole module. Train longer, or with"
            " --attention-lr 10.",
        )
    if not gates:
        return
    gate = max(gates, key=lambda gate: scale_of(gate))
    yield Clue(
        scale_of(gate),
        f"{gate.name} passes {gate.mean:.2f} × its input on average (spread {gate.spread:.2f}):"
        f" the layers after it see {'weaker' if gate.mean < 1 else 'stronger'} maps than in the"
        " baseline.",
    )
    gate = min(gates, key=lambda gate: gate.spread)
    yield Clue(
        1.5 - 50 * gate.spread,
        f"{gate.name} is nearly a constant factor ({gate.mean:.2f}, spread {gate.spread:.3f}): it"
        " selects nothing.",
    )
    gate = max(gates, key=lambda gate: gate.saturation)
    yield Clue(
        2.5 * gate.saturation,
        f"{gate.name}: {gate.low or 0:.0%} of gate values are below 0.05 and {gate.high or 0:.0%}"
        " above 0.95 of their range, where hardly any gradient passes.",
    )


def of_start(begin: Health | None, weights: str) -> Iterator[Clue]:
    """How much the attention changed, at the start, what rows of pretrained weights had learnt.

    Args:
        begin: the measurements of the first weights.
        weights: file that training started from; "" if there is none.
    """
    if begin is not None and weights and begin.change:
        yield Clue(
            2 * begin.change,
            f"At the start the attention changed what the head gets by {begin.change:.0%}, which"
            " pretrained rows then had to learn anew. --attention-init identity begins at 0 %.",
        )


def scale_of(gate: GateStats) -> float:
    """How much a gate scales its input: 1 for half or twice, 2 for a quarter or four times."""
    return abs(math.log2(max(abs(gate.mean), 1e-3)))


def of_gradient(health: Health | None) -> Iterator[Clue]:
    """A clue if the modules get little gradient for their size, or most of the whole gradient."""
    if health is None or not health.parameter_share:
        return
    # The norm of n equal gradients grows with the root of n.
    got, size = health.gradient_share, math.sqrt(health.parameter_share)
    share = (
        f"the modules hold {health.parameter_share:.2%} of the parameters and {got:.2%} of the"
        " gradient's norm"
    )
    yield Clue(min(size / max(got, 1e-6) / 10, 2.5), f"Hardly learning: {share}.")
    yield Clue(
        2 * got, f"Dominant: {share}, so that the clipped step of all other layers is smaller."
    )


def of_gap(own: Cells, plain: Cells) -> Iterator[Clue]:
    """A clue if the final losses are worse than the baseline's, in both splits or in validation."""
    train, val = (relative_loss(own, plain, split) for split in ("train", "val"))
    if train is None or val is None:
        return
    numbers = (
        f"training loss {train.mean:+.1%}, validation loss {val.mean:+.1%} against the baseline"
    )
    # An arm that fits worse has a higher validation loss as well, so overfitting is checked second.
    if train.mean > 0 and train.stands_out:
        yield Clue(
            40 * train.mean,
            f"It fits the training images worse ({numbers}): it learns less, or more slowly.",
        )
    elif val.mean > train.mean and val.stands_out:
        yield Clue(40 * (val.mean - train.mean), f"It overfits more ({numbers}).")


def relative_loss(own: Cells, plain: Cells, split: str) -> Difference | None:
    """Final loss of a split divided by that of the baseline's run with the same seed, minus 1.

    Args:
        own: cells of the arm.
        plain: cells of the baseline.
        split: "train" or "val".
    """
    return mean_difference(
        (final_loss(a, split) / final_loss(b, split), 1.0)
        for a, b in pairs(own, plain)
        if final_loss(b, split)
    )


def final_loss(cell: CellResult, split: str) -> float:
    """Mean of a split's loss over the last epochs, the sum of all its terms."""
    first, last = f"{split}/", "_loss"
    names = dict.fromkeys(name for row in cell.curve for name in row)
    terms = [column(cell, name) for name in names if name.startswith(first) and name.endswith(last)]
    return sum(mean_at_end(values) for values in terms if len(values))


def mean_at_end(values: np.ndarray) -> float:
    """Mean of the last epochs of a curve [epochs]."""
    return float(values[-max(1, round(END_SHARE * len(values))) :].mean())


def of_curve(own: Cells, plain: Cells) -> Iterator[Clue]:
    """A clue if the score was still rising when training ended, more than the baseline's."""
    gains = mean_difference(
        (late_gain(column(a, SCORE)), late_gain(column(b, SCORE))) for a, b in pairs(own, plain)
    )
    mean = statistics.fmean(late_gain(column(cell, SCORE)) for cell in own.values())
    if gains is not None and gains.stands_out and mean > 0:
        yield Clue(
            100 * gains.mean,
            f"It was still rising when training ended ({100 * mean:+.1f} points over the last fifth"
            f" of the epochs, {100 * gains.mean:+.1f} more than the baseline): more epochs may"
            " change the verdict.",
        )


def late_gain(values: np.ndarray) -> float:
    """Mean of the last tenth of a curve [epochs] minus that of the tenth before it."""
    count = max(1, round(END_SHARE * len(values)))
    if len(values) < 2 * count:
        return 0.0
    return float(values[-count:].mean() - values[-2 * count : -count].mean())


def of_parts(own: Cells, plain: Cells, verdict: ArmVerdict | None) -> Iterator[Clue]:
    """The object size and the class whose change differs most from the arm's overall difference.

    Args:
        own: cells of the arm.
        plain: cells of the baseline.
        verdict: the arm's verdict, if it has one.
    """
    overall = verdict.difference if verdict and math.isfinite(verdict.difference) else 0.0
    for kind, parts in (("objects", by_size(own, plain)), ("class", by_class(own, plain))):
        standing = {name: value for name, value in parts.items() if value.stands_out}
        if len(parts) < 2 or not standing:
            continue
        name, most = max(standing.items(), key=lambda item: abs(item[1].mean - overall))
        others = ", ".join(
            f"{other} {100 * value.mean:+.1f}" for other, value in largest_parts(parts, name)
        )
        what = f"{name} {kind}" if kind == "objects" else f"{kind} {name}"
        yield Clue(
            100 * abs(most.mean - overall) / 1.5,
            f"AP of {what} changed by {100 * most.mean:+.1f} points (standard error"
            f" {100 * most.error:.1f}; {others}).",
        )


def largest_parts(
    parts: Mapping[str, Difference], name: str, most: int = 3
) -> list[tuple[str, Difference]]:
    """The parts with the largest changes, largest first.

    Args:
        parts: differences by size or by class.
        name: the part to skip.
        most: the largest number of parts.
    """
    others = [item for item in parts.items() if item[0] != name]
    return sorted(others, key=lambda item: -abs(item[1].mean))[:most]
