"""Why did it drop, or change nothing? What a study knows of an arm, in sentences with numbers, most
telling first.

From: cells of the arm and of the plain graph, gates.py's measurements, the transfer of pretrained
weights. A sentence is a lead with its evidence, not a verdict: a few seeds show what differs, not
what caused it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ablation.gates import Gate, Health, examine
from ablation.report.summary import (
    SCORE,
    Cells,
    Difference,
    by_arm,
    by_class,
    by_size,
    column,
    difference,
    pairs,
)
from ablation.study import PLAIN
from models.weights.load import from_checkpoint, read_weights
from models.weights.upstream.adopt import with_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.files import find_file

if TYPE_CHECKING:
    from ablation.statistics.verdicts import ArmVerdict
    from ablation.study import Arm, CellResult

TELLING = 1.0  # of a finding's weight, from which on it is put forward
SHOWN = 6
LAST = 0.1  # of the epochs, whose mean stands for a run's end


@dataclass(frozen=True)
class Finding:
    """A sentence, and how much it tells: 1 is worth saying, 2 twice as far from what is ordinary."""

    weight: float
    sentence: str


def explain(
    arm: Arm, cells: Iterable[CellResult], verdict: ArmVerdict | None, weights: str = ""
) -> list[str]:
    """Ranked sentences on an arm. cells: all finished ones of the study. weights: what training
    started from, if any.

    The last sentence says what was looked at and is ordinary. Empty for the plain graph, and
    without finished cells.
    """
    known = by_arm(cells)
    own, plain = known.get(arm.name, {}), known.get(PLAIN, {})
    if not own or not arm.attention:
        return []
    health, problem = measure(own)
    found = [
        *of_transfer(own, plain, weights),
        *of_gates(health),
        *of_gradient(health),
        *of_gap(own, plain),
        *of_curve(own, plain),
        *of_parts(own, plain, verdict),
    ]
    telling = sorted((one for one in found if one.weight >= TELLING), key=lambda one: -one.weight)[
        :SHOWN
    ]
    return [*(one.sentence for one in telling), rest(bool(telling), health, problem)]


def measure(own: Cells) -> tuple[Health | None, str]:
    """Measurements of the first seed's best.pt, or why there are none."""
    cell = own[min(own)]
    try:
        return examine(cell.folder / "weights" / "best.pt"), ""
    except UserError as error:
        return None, str(error)


def of_transfer(own: Cells, plain: Cells, weights: str) -> Iterator[Finding]:
    """Pretrained tensors that had no place in the arm's graph."""
    if not weights or not plain:
        return
    try:
        base = plain[min(plain)]
        (copied, total), (copied_plain, total_plain) = (
            count_transferred(cell, weights, base) for cell in (own[min(own)], base)
        )
    except UserError:
        return
    share, usual = copied / max(total, 1), copied_plain / max(total_plain, 1)
    yield Finding(
        8 * (usual - share),
        f"{copied} of {total} tensors ({share:.0%}) came from the pretrained weights, in the plain"
        f" graph {usual:.0%}; the others started anew.",
    )


def count_transferred(cell: CellResult, weights: str, base: CellResult) -> tuple[int, int]:
    """(tensors copied whole, tensors of the model) when the cell's graph is given the pretrained
    weights.

    base: a cell of the plain graph, whose graph a file of tensors alone is of.
    """
    from models.weights.transfer import transfer

    graph = checkpoints.read(base.folder / "weights" / "best.pt").graph
    source = with_graph(read_weights(find_file(weights)), graph, weights)
    model = from_checkpoint(checkpoints.read(cell.folder / "weights" / "best.pt"))
    report = transfer(model, source)
    return report.copied, report.total


def of_gates(health: Health | None) -> Iterator[Finding]:
    """A finding for the most remarkable gate of each kind: off, weak, constant, saturated."""
    gates = [gate for gate in health.gates if math.isfinite(gate.mean)] if health else []
    begun = [gate for gate in health.gates if gate.alpha is not None] if health else []
    if begun:
        gate = min(begun, key=lambda gate: abs(gate.alpha or 0.0))
        yield Finding(
            2.5 - 25 * abs(gate.alpha or 0.0),
            f"{gate.name} has hardly left its start as identity: its factor alpha is"
            f" {gate.alpha:.3f}, 1 being all of the module.",
        )
    if not gates:
        return
    gate = max(gates, key=lambda gate: scale_of(gate))
    yield Finding(
        scale_of(gate),
        f"{gate.name} passes {gate.mean:.2f} × its input on average (spread {gate.spread:.2f}):"
        f" what follows sees {'weaker' if gate.mean < 1 else 'stronger'} maps than in the plain"
        " graph.",
    )
    gate = min(gates, key=lambda gate: gate.spread)
    yield Finding(
        1.5 - 50 * gate.spread,
        f"{gate.name} is nearly a constant factor ({gate.mean:.2f}, spread {gate.spread:.3f}): it"
        " chooses nothing.",
    )
    gate = max(gates, key=lambda gate: gate.saturation)
    yield Finding(
        2.5 * gate.saturation,
        f"{gate.name}: {gate.low or 0:.0%} of gate values are below 0.05 and {gate.high or 0:.0%}"
        " above 0.95 of their range, where hardly any gradient passes.",
    )


def scale_of(gate: Gate) -> float:
    """1 for a gate that halves or doubles, 2 for a quarter or four times."""
    return abs(math.log2(max(abs(gate.mean), 1e-3)))


def of_gradient(health: Health | None) -> Iterator[Finding]:
    """Modules that learn too little for their size, or take most of the gradient."""
    if health is None or not health.parameter_share:
        return
    got, size = health.gradient_share, math.sqrt(health.parameter_share)
    share = (
        f"the modules hold {health.parameter_share:.2%} of the parameters and {got:.2%} of the"
        " gradient's norm"
    )
    yield Finding(min(size / max(got, 1e-6) / 10, 2.5), f"Hardly learning: {share}.")
    yield Finding(
        2 * got, f"Dominant: {share}, so that the clipped step of all other layers is smaller."
    )


def of_gap(own: Cells, plain: Cells) -> Iterator[Finding]:
    """Training and validation loss at the end by the plain graph's: worse at both, or at validation
    alone.
    """
    train, val = (relative_loss(own, plain, split) for split in ("train", "val"))
    if train is None or val is None:
        return
    numbers = (
        f"training loss {train.mean:+.1%}, validation loss {val.mean:+.1%} against the plain graph"
    )
    if train.mean > 0 and train.stands_out:
        yield Finding(
            40 * train.mean,
            f"It fits the training images worse ({numbers}): it learns less, or slower.",
        )
    elif val.mean > train.mean and val.stands_out:
        yield Finding(40 * (val.mean - train.mean), f"It overfits more ({numbers}).")


def relative_loss(own: Cells, plain: Cells, split: str) -> Difference | None:
    """Sum of a split's losses over the last epochs, as a share of the plain graph's of the same
    seed, less 1.
    """
    return difference(
        (final_loss(a, split) / final_loss(b, split), 1.0)
        for a, b in pairs(own, plain)
        if final_loss(b, split)
    )


def final_loss(cell: CellResult, split: str) -> float:
    """All terms of a split's loss, whichever they are, over the last epochs."""
    first, last = f"{split}/", "_loss"
    names = dict.fromkeys(name for row in cell.curve for name in row)
    terms = [column(cell, name) for name in names if name.startswith(first) and name.endswith(last)]
    return sum(tail(values) for values in terms if len(values))


def tail(values: np.ndarray) -> float:
    """Mean of the last epochs."""
    return float(values[-max(1, round(LAST * len(values))) :].mean())


def of_curve(own: Cells, plain: Cells) -> Iterator[Finding]:
    """Whether the arm was still rising when it was stopped, more than the plain graph was."""
    gains = difference(
        (late_gain(column(a, SCORE)), late_gain(column(b, SCORE))) for a, b in pairs(own, plain)
    )
    mean = statistics.fmean(late_gain(column(cell, SCORE)) for cell in own.values())
    if gains is not None and gains.stands_out and mean > 0:
        yield Finding(
            100 * gains.mean,
            f"It was still rising when training ended ({100 * mean:+.1f} points over the last fifth"
            f" of the epochs, {100 * gains.mean:+.1f} more than the plain graph): more epochs may"
            " change the verdict.",
        )


def late_gain(values: np.ndarray) -> float:
    """What the last tenth of the epochs has over the tenth before it."""
    count = max(1, round(LAST * len(values)))
    return (
        float(values[-count:].mean() - values[-2 * count : -count].mean())
        if len(values) >= 2 * count
        else 0.0
    )


def of_parts(own: Cells, plain: Cells, verdict: ArmVerdict | None) -> Iterator[Finding]:
    """The size of object and the class that depart most from the arm's own mean difference."""
    overall = verdict.difference if verdict and math.isfinite(verdict.difference) else 0.0
    for of, parts in (("objects", by_size(own, plain)), ("class", by_class(own, plain))):
        standing = {name: value for name, value in parts.items() if value.stands_out}
        if len(parts) < 2 or not standing:
            continue
        name, most = max(standing.items(), key=lambda item: abs(item[1].mean - overall))
        others = ", ".join(
            f"{other} {100 * value.mean:+.1f}" for other, value in closest_parts(parts, name)
        )
        what = f"{name} {of}" if of == "objects" else f"{of} {name}"
        yield Finding(
            100 * abs(most.mean - overall) / 1.5,
            f"AP of {what} changed by {100 * most.mean:+.1f} points (standard error"
            f" {100 * most.error:.1f}; {others}).",
        )


def closest_parts(
    parts: Mapping[str, Difference], name: str, most: int = 3
) -> list[tuple[str, Difference]]:
    """The other parts, those that changed most first."""
    others = [item for item in parts.items() if item[0] != name]
    return sorted(others, key=lambda item: -abs(item[1].mean))[:most]


def rest(is_explained: bool, health: Health | None, problem: str) -> str:
    """What was looked at and told nothing, so that silence is not taken for a finding."""
    begin = "Nothing else stands out" if is_explained else "Nothing that was looked at stands out"
    if health is None:
        return (
            f"{begin}; its attention could not be measured ({problem})." if problem else f"{begin}."
        )
    known = [gate for gate in health.gates if math.isfinite(gate.mean)]
    factors = (
        f"factors {', '.join(f'{gate.mean:.2f} ± {gate.spread:.2f}' for gate in known[:4])}"
        if known
        else ""
    )
    gradient = (
        f"{health.gradient_share:.2%} of the gradient's norm for {health.parameter_share:.2%} of"
        " the parameters"
    )
    return f"{begin}; measured: {', '.join(filter(None, [factors, gradient]))}."
