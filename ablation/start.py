"""The first weights of a run, made again, and how far the run has moved them.

A graph, a seed and a file of weights decide all first weights (models/yolo.py, transfer.py), so
they need not be stored. What a finished run holds is compared with them: faults.py says what that
shows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ablation.gates import attention_of
from models.weights.load import find_weights, from_checkpoint, read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint


@dataclass(frozen=True)
class Change:
    """What a run made of one parameter.

    Attributes:
        key: of the parameter in the state dict.
        size: number of its elements.
        is_new: whether it belongs to an attention module.
        is_copied: whether the whole of it came from the pretrained weights.
        likeness: correlation of the elements before and after; nan if all are equal before or
            after.
        moved: root mean square by which an element has changed.
        bent: the same, relative to the elements, beyond a common factor, which weight decay alone
            would give.
    """

    key: str
    size: int
    is_new: bool
    is_copied: bool
    likeness: float
    moved: float
    bent: float


@dataclass(frozen=True)
class Start:
    """The start of a run.

    Attributes:
        model: the network with its first weights.
        changes: what the run made of its parameters.
    """

    model: DetectionModel
    changes: tuple[Change, ...]

    @property
    def new(self) -> list[Change]:
        return [change for change in self.changes if change.is_new]

    @property
    def base(self) -> list[Change]:
        return [change for change in self.changes if not change.is_new]


def rebuild(end: Checkpoint, weights: str, plain: Checkpoint | None = None) -> Start:
    """Make the first weights of a finished run again, and compare its last ones with them.

    Args:
        end: its best.pt.
        weights: the pretrained file; "" if there is none.
        plain: a checkpoint of the baseline, whose graph is assumed for a file that holds tensors
            only; None takes `end`.

    Returns:
        The start.

    Raises:
        UserError: A file cannot be read, or does not fit.
    """
    seed = int(end.config.get("seed", 0))
    model = DetectionModel(copy.deepcopy(end.graph), names=end.names, seed=seed)
    copied = set[str]()
    if weights:
        source = with_graph(read_weights(find_weights(weights)), (plain or end).graph, weights)
        report = transfer(model, source, ("anchors",))
        copied = {outcome.key for outcome in report.outcomes if not outcome.fresh}
    last = dict(from_checkpoint(end).named_parameters())
    own = {id(one) for row in attention_of(model).values() for one in row.parameters()}
    changes = tuple(
        compare(key, first.detach(), last[key].detach(), id(first) in own, key in copied)
        for key, first in model.named_parameters()
    )
    return Start(model, changes)


def compare(key: str, first: Tensor, last: Tensor, is_new: bool, is_copied: bool) -> Change:
    """What a run made of a parameter.

    Args:
        key: of the parameter.
        first, last: its values before and after, of one shape.
        is_new: whether it belongs to an attention module.
        is_copied: whether it came from the pretrained weights.
    """
    # Both are halved, as best.pt is, so that a tensor that nothing has changed is found equal.
    halves = first.half().double() if first.dim() > 1 else first.double()
    before, after = halves.flatten(), last.double().flatten()
    middle = torch.stack((before - before.mean(), after - after.mean()))
    lengths = middle.norm(dim=1)
    likeness = float(middle[0] @ middle[1] / lengths.prod()) if lengths.min() > 0 else float("nan")
    moved = float((after - before).square().mean().sqrt())
    # A single element always fits a factor, so there the change itself counts.
    is_line = len(before) > 1 and float(before @ before) > 0
    factor = float(after @ before / (before @ before)) if is_line else 1.0
    rest = float((after - factor * before).norm())
    whole = float(max(before.norm(), after.norm()))
    bent = rest / whole if whole > 0 else 0.0
    return Change(key, before.numel(), is_new, is_copied, likeness, moved, bent)


def middle_of(values: Iterable[float]) -> float:
    """The median of the values above 0; 0 if there are none."""
    known = sorted(value for value in values if value > 0)
    return known[len(known) // 2] if known else 0.0
