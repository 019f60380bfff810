"""Why did an arm's score drop, or not change? The clues that a study has, as ranked sentences.

Faults come first, since they explain the rest. Any other sentence is a clue and not a verdict: a
few seeds show what differs, but not why.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ablation.clues import of_curve, of_gap, of_gates, of_gradient, of_parts, of_start
from ablation.faults import Evidence, find_faults
from ablation.gates import Health, measure_attention, measure_model
from ablation.report.summary import Cells, by_arm
from ablation.start import rebuild
from ablation.study import PLAIN
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.errors import UserError

if TYPE_CHECKING:
    from ablation.results import CellResult
    from ablation.statistics.verdicts import ArmVerdict
    from ablation.study import Arm

LEAST_WEIGHT = 1.0  # clues of less weight are not shown
MAX_CLUES = 6


def explain_arm(
    arm: Arm, cells: Iterable[CellResult], verdict: ArmVerdict | None, weights: str = ""
) -> list[str]:
    """Explain an arm in ranked sentences, the strongest clue first.

    Args:
        arm: the arm.
        cells: all finished cells of the study.
        verdict: the arm's verdict, if it has one.
        weights: file that training started from; "" if there is none.

    Returns:
        Sentences, the last of which says what was examined without a finding. There are none for
        the baseline, nor for an arm without finished cells.
    """
    known = by_arm(cells)
    own, plain = known.get(arm.name, {}), known.get(PLAIN, {})
    if not own or not arm.attention:
        return []
    health, problem = measure_first_seed(own)
    evidence = gather_evidence(own, plain, health, weights)
    faults = find_faults(evidence)
    found = [
        *of_start(evidence.begin, weights),
        *of_gates(health),
        *of_gradient(health),
        *of_gap(own, plain),
        *of_curve(own, plain),
        *of_parts(own, plain, verdict),
    ]
    shown = sorted(
        (clue for clue in found if clue.weight >= LEAST_WEIGHT), key=lambda clue: -clue.weight
    )
    named = [*(f"Fault: {one}" for one in faults), *(clue.sentence for clue in shown)][:MAX_CLUES]
    return [*named, rest(bool(named), health, problem)]


def gather_evidence(own: Cells, plain: Cells, health: Health | None, weights: str) -> Evidence:
    """What the clues on faults look at.

    Args:
        own: cells of the arm.
        plain: cells of the baseline.
        health: the measurements of its first seed's best.pt.
        weights: file that training started from; "" if there is none.
    """
    cell, end, base = own[min(own)], read_first(own), read_first(plain)
    cells = (*own.values(), *plain.values())
    if end is None:
        return Evidence(cell, cells, end=health)
    try:
        start = rebuild(end, weights, base)
        usual = rebuild(base, weights) if base else None
        begin = measure_model(copy.deepcopy(start.model), end, str(cell.folder))
    except UserError:
        return Evidence(cell, cells, end=health)
    optimizer = str(end.config.get("optimizer", ""))
    return Evidence(cell, cells, optimizer, start, usual, health, begin)


def read_first(cells: Cells) -> Checkpoint | None:
    """The first seed's best.pt; None if there is none that can be read.

    That is no reason to lose the report.
    """
    try:
        return checkpoints.read(cells[min(cells)].folder / "weights" / "best.pt") if cells else None
    except UserError:
        return None


def measure_first_seed(own: Cells) -> tuple[Health | None, str]:
    """Measure the first seed's best.pt: (measurements, ""), or (None, why there are none)."""
    cell = own[min(own)]
    try:
        return measure_attention(cell.folder / "weights" / "best.pt"), ""
    except UserError as error:
        return None, str(error)


def rest(is_explained: bool, health: Health | None, problem: str) -> str:
    """A sentence on what was examined without a finding, so that silence is not taken for a result.

    Args:
        is_explained: whether a clue precedes this sentence.
        health: the measurements, if there are any.
        problem: why there are none; "" if there is nothing to measure.
    """
    begin = "Nothing else stands out" if is_explained else "Nothing that was examined stands out"
    if health is None:
        return (
            f"{begin}; its attention could not be measured ({problem})." if problem else f"{begin}."
        )
    known = [gate for gate in health.gates if math.isfinite(gate.mean)]
    factors = ", ".join(f"{gate.mean:.2f} ± {gate.spread:.2f}" for gate in known[:4])
    gradient = (
        f"{health.gradient_share:.2%} of the gradient's norm for {health.parameter_share:.2%} of"
        " the parameters"
    )
    measured = ", ".join([f"factors {factors}", gradient] if known else [gradient])
    return f"{begin}; measured: {measured}."
