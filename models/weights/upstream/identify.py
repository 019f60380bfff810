"""Tell from tensors alone which attention module they belong to, and how it was built.

models/weights/upstream/blocks.py asks for the tensors that a block has more than the plain one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.attention import build_attention
from models.weights.upstream.attention import READERS, read_arguments
from models.weights.upstream.forms import KeyForm, find_form
from utils.errors import UserError
from utils.pickles.objects import PickledObject

Tensors = Mapping[str, Tensor]
UNKNOWN = PickledObject("", {})  # of which a file of tensors says nothing


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
    state: Tensors, names: tuple[str, ...], channels: int = 0, module: PickledObject = UNKNOWN
) -> Identified | None:
    """The attention module of some tensors.

    Args:
        state: the tensors, by their keys below the module.
        names: of our modules that it may be, tried first.
        channels: of the map that it reads, 0 if they are not known.
        module: the foreign module, for options that no shape shows.

    Returns:
        The module, or None if none has just these tensors or, among those that no name speaks for,
        several have.
    """
    if not state:
        return None
    form = find_form(state, names)
    if form:
        ours = form.translate(state)
        return next(_fitting(ours, (form.module,), channels, module, form), None)
    named = next(_fitting(state, names, channels, module), None)
    if named:
        return named
    others = list(_fitting(state, tuple(READERS), channels, module))
    return others[0] if len(others) == 1 else None


def _fitting(
    state: Tensors,
    names: tuple[str, ...],
    channels: int,
    module: PickledObject,
    form: KeyForm | None = None,
) -> Iterator[Identified]:
    """Those of the named modules that have just these tensors, each once."""
    sizes = {size for value in state.values() for size in value.shape[:2] if size}
    counts = [channels] if channels else sorted(sizes, reverse=True)
    for name in names:
        for count in counts:
            read = read_arguments(name, module, state, None, count)
            if not isinstance(read, dict):  # it has other keys
                break
            options = {**read, **(form.options if form else {})}
            if has_tensors(name, options, count, state):
                yield Identified(name, options, form)
                break


def has_tensors(name: str, options: dict[str, Any], channels: int, state: Tensors) -> bool:
    """Whether our module has just these tensors. A 1x1 kernel may lack its two sides."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            ours = build_attention(name, channels, **options).state_dict()
    except UserError:
        return False
    return set(ours) == set(state) and all(
        ours[key].shape[:2] == value.shape[:2] and ours[key].numel() == value.numel()
        for key, value in state.items()
    )
