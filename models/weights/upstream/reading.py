"""What the readers of options share: attributes, children and shapes of a foreign module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from models.graph.values import is_number
from models.weights.upstream.tree import class_name_of, members
from utils.pickles.objects import PickledObject

Tensors = Mapping[str, Tensor]
Options = dict[str, object]
Reader = Callable[[PickledObject, Tensors], Options]  # from a module and its tensors, by our keys


def attribute(module: PickledObject, *names: str) -> object:
    """The first of the attributes that is a number, else None."""
    return next((module.get(name) for name in names if is_number(module.get(name))), None)


def flag(module: PickledObject, *names: str) -> bool | None:
    """The first of the attributes that is a truth value, else None."""
    found = (module.get(name) for name in names)
    return next((value for value in found if isinstance(value, bool)), None)


def text(value: object) -> str | None:
    """The value if it is text, else None."""
    return value if isinstance(value, str) else None


def ratio(state: Tensors, key: str) -> int:
    """Inputs over outputs of a layer that reduces the channels."""
    outputs, inputs = state[key].shape[:2]
    return max(inputs // outputs, 1)


def child(module: PickledObject, name: str) -> PickledObject:
    """The module of this name below another, an empty one if there is none."""
    found = members(module, "_modules").get(name)
    return found if isinstance(found, PickledObject) else PickledObject("", {})


def activation_of(module: PickledObject, known: tuple[str, ...]) -> str | None:
    """The first child that is one of the known activations, by its name in small letters."""
    kinds = (class_name_of(one).lower() for one in members(module, "_modules").values())
    return next((kind for kind in kinds if kind in known), None)


def side_of(state: Tensors, key: str) -> int:
    """The last side of a kernel."""
    return state[key].shape[-1]


def count_of(state: Tensors, start: str) -> int:
    """How many numbered modules there are with keys of this beginning."""
    return len({key[len(start) :].partition(".")[0] for key in state if key.startswith(start)})
