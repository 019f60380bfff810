"""The first weights of a run, made again, and how far the run has moved them.

A graph, a seed and a file of weights decide all first weights (models/yolo.py, transfer.py), so
they need not be stored. What a finished run holds is compared with them: faults.py says what that
shows.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

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
        is_new: whether it belongs to an attention module and did not come from the weights.
        is_copied: whether the whole of it came from the pretrained weights.
        is_lost: whether the last values are nearer to the seed's fresh ones than to the pretrained
            ones that the run should have started from.
        moved: root mean square by which an element has changed.
        bent: the same, relative to the elements, beyond a common factor, which weight decay alone
            would give.
    """

    key: str
    is_new: bool
    is_copied: bool
    is_lost: bool
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
    fresh = {key: one.detach().clone() for key, one in model.named_parameters()}
    copied = set[str]()
    if weights:
        source = with_graph(read_weights(find_weights(weights)), (plain or end).graph, weights)
        report = transfer(model, source, ("anchors",))
        copied = {outcome.key for outcome in report.outcomes if not outcome.fresh}
    last = dict(from_checkpoint(end).named_parameters())
    own = {id(one) for row in attention_of(model).values() for one in row.parameters()}
    changes = tuple(
        Change(
            key,
            id(first) in own and key not in copied,
            key in copied,
            key in copied and distance(fresh[key], last[key]) < distance(first, last[key]),
            distance(first, last[key]) / math.sqrt(first.numel()),
            bend(first, last[key]),
        )
        for key, first in model.named_parameters()
    )
    return Start(model, changes)


def distance(first: Tensor, last: Tensor) -> float:
    """The length of the difference of two tensors of one shape."""
    return float((stored(first) - stored(last)).norm())


def bend(first: Tensor, last: Tensor) -> float:
    """What is left of the difference beyond a common factor, relative to the longer tensor.

    Weight decay alone gives a common factor. A single element always fits one, so there the
    difference itself counts.
    """
    before, after = stored(first), stored(last)
    is_line = len(before) > 1 and float(before @ before) > 0
    factor = float(after @ before / (before @ before)) if is_line else 1.0
    whole = float(max(before.norm(), after.norm()))
    return float((after - factor * before).norm()) / whole if whole > 0 else 0.0


def stored(value: Tensor) -> Tensor:
    """The elements as best.pt holds them, so that a tensor that nothing has changed is equal."""
    value = value.detach()
    return (value.half() if value.dim() > 1 else value).double().flatten()


def middle_of(values: Iterable[float]) -> float:
    """The median of the values above 0; 0 if there are none."""
    known = sorted(value for value in values if value > 0)
    return known[len(known) // 2] if known else 0.0
