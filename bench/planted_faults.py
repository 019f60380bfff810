"""The faults that bench/planted_causes.py puts into its trainings, each as a block of a with.

Within the block train.py has the fault; it trains as usual afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch

import train
from engine.training import build
from engine.training import model as making
from engine.training.ema import ModelEMA
from engine.training.run import TrainingState
from engine.training.step import step
from models.attention import attention_of
from models.graph.read import read_graph
from models.graph.sites import insert
from models.weights.report import TransferReport
from models.weights.transfer import transfer, upstream_keys
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint

FASTER = 100.0  # factor of the new rows' learning rate
Fault = Callable[[], AbstractContextManager[None]]


@contextmanager
def replaced(place: object, name: str, value: object) -> Iterator[None]:
    """Within the block, an attribute has another value."""
    former = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, former)


def no_transfer() -> AbstractContextManager[None]:
    """The weights of the base are matched and reported, but not copied."""

    def match(model: DetectionModel, *more: Any) -> TransferReport:
        return transfer(copy.deepcopy(model), *more)

    return replaced(making, "transfer", match)


def transfer_by_name() -> AbstractContextManager[None]:
    """Weights are copied by the number of their row, so that those after an insertion are lost."""

    def match(model: DetectionModel, source: Checkpoint, *more: Any) -> TransferReport:
        full = copy.deepcopy(model)
        report = transfer(full, source, *more)
        theirs = upstream_keys(read_graph(source.graph), source.state)
        mine = upstream_keys(read_graph(model.graph), full.state_dict())
        kept = {
            key: value for key, value in full.state_dict().items() if theirs.get(key) == mine[key]
        }
        model.load_state_dict(kept, strict=False)
        return report

    return replaced(making, "transfer", match)


def unshifted_skips() -> AbstractContextManager[None]:
    """The numbers in each Concat are those before the insertion."""

    def put(graph: dict[str, Any], specs: Sequence[str], init: str = "") -> dict[str, Any]:
        new = insert(graph, specs, init)
        skips = iter([row[0] for row in [*graph["backbone"], *graph["head"]] if row[2] == "Concat"])
        for row in [*new["backbone"], *new["head"]]:
            if row[2] == "Concat":
                row[0] = list(next(skips))
        return new

    return replaced(making, "insert", put)


def fast_new_rows() -> AbstractContextManager[None]:
    """Each step of the attention's parameters is FASTER times as long."""

    def longer(state: TrainingState, norm: torch.Tensor) -> None:
        own = [one for row in attention_of(state.model).values() for one in row.parameters()]
        before = [one.detach().clone() for one in own]
        step(state, norm)
        with torch.no_grad():
            for one, former in zip(own, before, strict=True):
                one.copy_(former + FASTER * (one - former))

    return replaced(train, "step", longer)


def young_average() -> AbstractContextManager[None]:
    """The averaged weights have their final decay of 0.9999 from the first step on."""
    return replaced(build, "ModelEMA", partial(ModelEMA, tau=1e-3))
