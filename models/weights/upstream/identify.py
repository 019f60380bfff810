"""Tell from tensors alone which attention module they belong to, and how it was built.

models/weights/upstream/blocks.py asks for the tensors that a block has more than the plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from models.attention import build_attention
from models.graph.block_names import TRIAL_WIDTH
from models.weights.upstream.attention import READERS, read_arguments
from models.weights.upstream.forms import KeyForm, find_form
from models.weights.upstream.trials import Trials
from utils.errors import UserError
from utils.pickles.objects import PickledObject
from utils.seeds import caught_warnings

Tensors = Mapping[str, Tensor]
UNKNOWN = PickledObject("", {})  # of which a file of tensors says nothing
MOST_TENSORS = 1000  # of an attention module; ours have less than a hundred


@dataclass(frozen=True, slots=True)
class Identified:
    """An attention module of ours that has the given tensors.

    Attributes:
        name: of the module.
        options: with which it has them.
        form: the names that they had; None if those are ours.
    """

    name: str
    options: dict[str, object]
    form: KeyForm | None = None

    def translate(self, state: Tensors) -> dict[str, Tensor]:
        """Tensors of the module under our names."""
        return self.form.translate(state) if self.form else dict(state)

    def paths(self) -> dict[str, str]:
        """The path of each of their layers, by ours, where the names differ."""
        return self.form.paths() if self.form else {}


def identify(
    state: Tensors,
    names: tuple[str, ...],
    channels: int = 0,
    module: PickledObject = UNKNOWN,
    trials: Trials | None = None,
) -> Identified | None:
    """The attention module of some tensors.

    Args:
        state: the tensors, by their keys below the module.
        names: of our modules that it may be, tried first.
        channels: of the map that it reads, 0 if they are not known.
        module: the foreign module, for options that no shape shows.
        trials: those of the file; None allows as many as for one.

    Returns:
        The module, or None if none has just these tensors or, among those that no name speaks for,
        several have.

    Raises:
        UserError: No trial is left.
    """
    if not state or len(state) > MOST_TENSORS:
        return None
    search = _Search(channels, module, trials or Trials())
    search.trials.count()  # comparing the names costs as much as building a module
    form = find_form(state, names)
    if form:
        return next(search.fitting(form.translate(state), (form.module,), form), None)
    named = next(search.fitting(state, names), None)
    if named:
        return named
    others = list(search.fitting(state, tuple(READERS)))
    return others[0] if len(others) == 1 else None


@dataclass(frozen=True, slots=True)
class _Search:
    """What identify() was told about a module."""

    channels: int
    module: PickledObject
    trials: Trials

    def fitting(
        self, state: Tensors, names: tuple[str, ...], form: KeyForm | None = None
    ) -> Iterator[Identified]:
        """Those of the named modules that have just these tensors, each once."""
        sizes = {size for value in state.values() for size in value.shape[:2] if size}
        for name in names:
            for count in [self.channels] if self.channels else sorted(sizes, reverse=True):
                read = read_arguments(name, self.module, state, None, count)
                # Without options, the keys are the usual ones, and need not be built again.
                if not isinstance(read, dict) or not (read or _usual_keys(name) == set(state)):
                    break
                options = {**read, **(form.options if form else {})}
                self.trials.count()
                ours = _tensors_of(name, options, count)
                if ours and set(ours) != set(state):  # they would be the same for other channels
                    break
                if ours and _same_shapes(ours, state):
                    yield Identified(name, options, form)
                    break


@cache
def _usual_keys(name: str) -> frozenset[str]:
    """The keys of a module without options, which do not depend on its channels."""
    with torch.device("meta"), caught_warnings():
        return frozenset(build_attention(name, TRIAL_WIDTH).state_dict())


def has_tensors(name: str, options: dict[str, Any], channels: int, state: Tensors) -> bool:
    """Whether our module has just these tensors. A 1x1 kernel may lack its two sides."""
    ours = _tensors_of(name, options, channels)
    return ours is not None and set(ours) == set(state) and _same_shapes(ours, state)


def _tensors_of(name: str, options: dict[str, Any], channels: int) -> Tensors | None:
    """The tensors of a module of ours, without values; None if it cannot be built so."""
    try:
        with torch.device("meta"), caught_warnings():
            return build_attention(name, channels, **options).state_dict()
    except UserError:
        return None


def _same_shapes(ours: Tensors, state: Tensors) -> bool:
    return all(
        ours[key].shape[:2] == value.shape[:2] and ours[key].numel() == value.numel()
        for key, value in state.items()
    )
