"""Faults of an arm that explain a drop by themselves, each a sentence with its remedy.

Each needs the first seed only, since a limit is a matter of arithmetic or far from what arms
without the fault show (docs/ablation.md). The order of FAULTS is that of explanation: weights that
were lost because of a wrong connection are told as the connection.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ablation.gates import GateStats, Health, attention_of
from ablation.results import CellResult, finite_number
from ablation.start import Start, middle_of
from engine.evaluation.swapped import swapped_sentence
from models.graph.read import read_graph
from models.lint.finding import LintContext, LintFinding
from models.lint.rules import apply_rules
from models.lint.wiring_rules import WIRING_RULES
from models.yolo import DetectionModel
from utils.text import counted

OLD_SHARE = 0.1  # of the first weights in the average that is scored
LOST_SHARE = 1 / 8  # of the base's tensors
UNMOVED = 1e-3  # rounding to half precision changes a tensor by 0.0003 of its length
SATURATED = 0.5  # share of gate values at an end of their range
FLAT = 10.0  # times less gradient than parameters of average gradient would have
CONSTANT = 0.01  # spread of a factor
# Adam moves no parameter by more than twice its learning rate in a step, with its usual betas.
ADAM_STEP = 2.0
ADAMS = ("Adam", "AdamW")


@dataclass(frozen=True)
class Evidence:
    """What the clues on faults look at, of the arm's first seed.

    Attributes:
        cell: the arm's cell.
        cells: all cells of the arm and of the baseline.
        optimizer: name of its optimizer.
        start: its start and what became of it; None if that cannot be made again.
        plain: the same of the baseline.
        end: the measurements of its attention in best.pt.
        begin: the measurements of its attention in the first weights.
    """

    cell: CellResult
    cells: tuple[CellResult, ...] = ()
    optimizer: str = ""
    start: Start | None = None
    plain: Start | None = None
    end: Health | None = None
    begin: Health | None = None


def find_faults(seen: Evidence) -> list[str]:
    """A sentence for each fault, the one that explains others first."""
    return [sentence for look in FAULTS for sentence in look(seen)]


def of_wiring(seen: Evidence) -> Iterator[str]:
    """References of the arm's graph that lint objects to, and not in the baseline's graph."""
    if seen.start is None or seen.plain is None:
        return
    usual = Counter(finding.rule for finding in lint(seen.plain.model))
    found = [one for one in lint(seen.start.model) if not usual[one.rule]]
    if found:
        # The first is named; a number that was not moved explains the others.
        first = min(found, key=lambda one: one.rule != "shift")
        more = f"; {len(found) - 1} more like it" if len(found) > 1 else ""
        meant = f"; it should read {first.meant}" if first.meant else ""
        yield (
            f"Its graph is connected wrongly: row {first.row}, {first.what}{meant}{more}. Correct"
            " the numbers in the model's YAML, or let --attention insert the module."
        )


def lint(model: DetectionModel) -> list[LintFinding]:
    """What lint finds in the connections of a network."""
    graph = read_graph(model.graph)
    context = LintContext({"yaml_file": graph.file}, graph, model.map_sizes)
    return apply_rules(context, WIRING_RULES, {})


def of_names(seen: Evidence) -> Iterator[str]:
    """Classes whose objects are found under each other's names in the validation.

    All runs have the same labels, so any run may show it. An arm that finds little shows nothing.
    """
    told = (cell.metrics.get("swapped") for cell in seen.cells)
    groups = {tuple(group): None for one in told if isinstance(one, list) for group in one}
    for group in groups:
        yield (
            f"In the validation {swapped_sentence(group)}: their names are probably swapped in the"
            " labels of one split. Compare the class numbers of both splits; this concerns all"
            " arms."
        )


def of_average(seen: Evidence) -> Iterator[str]:
    """An average of weights that still holds much of the first ones."""
    average = seen.cell.metrics.get("average")
    known: Mapping[str, object] = average if isinstance(average, dict) else {}
    share, updates = (finite_number(known.get(name)) for name in ("start_share", "updates"))
    if share is not None and updates is not None and share > OLD_SHARE:
        yield (
            f"The averaged weights are too young: after {counted(round(updates), 'update')} they"
            f" still hold {share:.0%} of the weights at the start, and they are what is scored."
            " Train for more epochs, or let the average's decay begin at 0."
        )


def of_inheritance(seen: Evidence) -> Iterator[str]:
    """Tensors of the base that ended nearer to fresh weights than to the pretrained ones.

    Both starts are known, so it needs no limit which of them a tensor came from. An eighth of the
    tensors is left to chance, and to those that the two starts have in common.
    """
    if seen.start is None or seen.plain is None:
        return
    usual = {one.key for one in seen.plain.base if one.is_copied and not one.is_lost}
    kept = [
        one for one in seen.start.base if one.key in usual and one.is_copied and not one.is_lost
    ]
    if len(usual) - len(kept) > LOST_SHARE * len(usual):
        yield (
            f"Only {len(kept)} of {counted(len(usual), 'tensor')} of the base began with the"
            " pretrained weights, in the baseline all of them: the others are nearer to fresh"
            ' weights of this seed. Look for the line "Transferred" in train.log, and transfer'
            " weights by row instead of by name."
        )


def of_saturation(seen: Evidence) -> Iterator[str]:
    """A gate whose values begin where a sigmoid is flat, so that it can hardly be learned."""
    if seen.begin is None:
        return
    got, size = seen.begin.gradient_share, math.sqrt(seen.begin.parameter_share)
    # A start as the identity has a factor of exactly 1, which is no end of a sigmoid.
    gates = [gate for gate in added_gates(seen, seen.begin) if gate.mean != 1 or gate.spread]
    gate = max(gates, key=lambda gate: gate.saturation, default=None)
    if gate and gate.saturation > SATURATED and got * FLAT < size:
        yield (
            f"{gate.name} is saturated at its start: {gate.low or 0:.0%} of its gate values are"
            f" below 0.05 and {gate.high or 0:.0%} above 0.95 of their range, and its parameters"
            f" get {got:.2%} of the gradient's norm. Start it with smaller weights and a bias near"
            " 0, or with --attention-init identity."
        )


def of_no_gradient(seen: Evidence) -> Iterator[str]:
    """A module none of whose parameters has moved, while those of the base have."""
    if seen.start is None or not seen.start.new:
        return
    if middle_of(change.bent for change in seen.start.base) <= 10 * UNMOVED:
        return  # Nothing was learned anywhere.
    if all(change.bent < UNMOVED for change in seen.start.new):
        names = dict.fromkeys(change.key.split(".")[1] for change in seen.start.new)
        yield (
            f"{', '.join(names)} gets no gradient: none of its"
            f" {counted(len(seen.start.new), 'tensor')} has moved from where it started. Look for"
            " detach(), torch.no_grad() or two factors that both start at zero in its forward(),"
            " and for --freeze."
        )


def of_learning_rate(seen: Evidence) -> Iterator[str]:
    """New rows that moved farther than their learning rate allows."""
    if seen.start is None or seen.optimizer not in ADAMS:
        return
    # Biases have rates of their own in the warm-up, which would make the limit much wider.
    new = [one for one in seen.start.new if one.moved > 0 and not one.key.endswith(".bias")]
    most, far = ADAM_STEP * rate_sum(seen.cell), max((one.moved for one in new), default=0.0)
    if most > 0 and far > most:
        usual = middle_of(change.moved for change in seen.start.base)
        name = max(new, key=lambda one: one.moved).key
        yield (
            f"The learning rate of the new rows is too high: {name} has moved by {far:.2g} an"
            f" element, where {most:.2g} is the most that the learning rates of the run allow (the"
            f" base moved by {usual:.2g}). Give the new rows the learning rate of the others."
        )


def rate_sum(cell: CellResult) -> float:
    """An upper limit of the sum of the learning rates of all steps of a run, without biases."""
    average = cell.metrics.get("average")
    updates = finite_number(average.get("updates")) if isinstance(average, dict) else None
    # Within an epoch rates rise in the warm-up only, so the ends of epochs have the largest one.
    rates = [row.get(name, 0.0) for row in cell.curve for name in ("x/lr1", "x/lr2")]
    return max(rates, default=0.0) * (updates or 0.0)


def of_constant(seen: Evidence) -> Iterator[str]:
    """A gate without parameters that has the same factor everywhere."""
    for gate in added_gates(seen, seen.end):
        if is_useless(gate):
            yield (
                f"{gate.name} cannot learn to select: it has no parameters, and multiplies"
                f" everything by {gate.mean:.2f} (spread {gate.spread:.4f}). Lower the constant"
                " in its denominator (SimAM's e_lambda is 1e-4), which hides all differences."
            )
            return


def added_gates(seen: Evidence, health: Health | None) -> list[GateStats]:
    """The gates that the baseline's graph does not have."""
    known = attention_of(seen.plain.model) if seen.plain else {}
    return [gate for gate in (health.gates if health else ()) if gate.name not in known]


def is_useless(gate: GateStats) -> bool:
    """Whether a gate without parameters is a constant other than 1."""
    return not gate.parameters and gate.spread < CONSTANT and abs(gate.mean - 1) > 5 * CONSTANT


FAULTS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    of_wiring,
    of_names,
    of_average,
    of_inheritance,
    of_saturation,
    of_no_gradient,
    of_learning_rate,
    of_constant,
)
