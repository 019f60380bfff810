"""The Allowlist: the names that a saved model may use, and their substitutes.

Tensors, plain containers, numbers of numpy and paths are rebuilt by functions of ours
(utils/pickles/builders.py). Classes of YOLO programs, and of the scripts and packages from
which forks take their modules, become PickledObjects: a name and attributes, without behaviour.
Nothing is imported for them. Names of Python itself, of numpy, and of torch outside torch.nn have
no place in a saved model beyond those of BUILDERS, and are refused.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.pickles.builders import (
    BUILDERS,
    INERT,
    MAX_NAME,
    PARTIAL,
    STORAGES,
    are_sizes,
    new_object,
    set_partial,
)
from utils.pickles.checks import Refused, printable_text
from utils.pickles.objects import (
    Budget,
    PickledArray,
    PickledDtype,
    PickledName,
    PickledObject,
)

# Packages whose names are refused; those of models may be any other, such as cbam or timm.
REFUSED_PACKAGES = frozenset({*sys.stdlib_module_names, "torch", "numpy", "pip", "setuptools"})
ReadStorage = Callable[[str, torch.dtype, int], Tensor]


class Allowlist:
    """The Meanings (utils/pickles/machine.py) of a saved model's names.

    read_storage takes the key, type and number of values of a storage and returns them [N], from
    the archive around the pickle. The budget is that of the file.
    """

    def __init__(self, read_storage: ReadStorage, budget: Budget) -> None:
        self.read_storage = read_storage
        self.budget = budget

    def find(self, module: str, name: str) -> PickledName:
        """The name, if it is known or may be that of a model's class; otherwise raises Refused."""
        text = f"{module}.{name}"
        if text in BUILDERS or text in STORAGES or text in INERT or _is_of_model(module, name):
            return PickledName(text)
        raise Refused(
            f"names {printable_text(text)}, which no saved model needs; nothing of it was run"
        )

    def call(self, callee: object, arguments: object) -> object:
        """The value for a call of a known name. Raises Refused for any other call."""
        if type(callee) is not PickledName or type(arguments) is not tuple:
            raise Refused(f"calls a {type(callee).__name__}, which is not a name")
        builder = BUILDERS.get(callee.text)
        if builder is None:  # options without arguments are saved as a call, not as a new object
            return self.new(callee, arguments)
        made = builder(self.budget, arguments)
        if made is NotImplemented:
            raise Refused(f"calls {callee.text} with arguments that it never has")
        return made

    def new(self, kind: object, arguments: object) -> PickledObject:
        """An object of a model's class. Raises Refused for any other name."""
        return new_object(kind, arguments)

    def build(self, target: object, state: object) -> None:
        """Give an object its attributes, a dtype its byte order, or an array its values.

        Raises Refused for anything else. An object takes a state once, so that no later part of the
        file can change an object after a check.
        """
        if type(target) is PickledObject and target.kind == PARTIAL:
            set_partial(self.budget, target, state)
        elif type(target) is PickledObject and target.state is None and self._is_state(state):
            target.state = state
        elif type(target) is dict and self._is_state(state) and set(state) <= {"_metadata"}:
            pass  # state_dict() attaches version numbers, which nothing here needs
        elif (
            type(target) is PickledDtype
            and type(state) is tuple
            and state[1:2] in (("<",), (">",), ("|",), ("=",))
        ):
            target.order = state[1].replace("|", "=")
        elif type(target) is PickledArray and target.values is None:
            target.values = self._array(state)
        else:
            what = printable_text(getattr(target, "kind", target))
            raise Refused(f"gives a {what} a state that it never has")

    def fetch(self, identity: object) -> Tensor:
        """The storage of a tensor. Raises Refused for an identity of anything else."""
        match identity:
            case ("storage", PickledName(text), str(key), str(), int(count)) if (
                text in STORAGES and count >= 0
            ):
                return self.read_storage(key, STORAGES[text], count)
        raise Refused("refers to something outside of it that is not a tensor's storage")

    def _is_state(self, state: object) -> TypeGuard[dict[str, object]]:
        # Many objects may have the same dictionary as their state, so each walk of it counts.
        return type(state) is dict and all(type(key) is str for key in self.budget.spend(state))

    def _array(self, state: object) -> NDArray[np.generic]:
        match state:
            case (int(), tuple(shape), PickledDtype() as kind, bool(fortran), bytes(content)) if (
                are_sizes(shape)
            ):
                flat = kind.read(self.budget.spend(content), math.prod(shape))
                return flat.reshape(shape, order="F" if fortran else "C")
        raise Refused("has an array of numpy that is not of plain numbers")


def _is_of_model(module: str, name: str) -> bool:
    """Whether a name may be that of a model's class: ordinary, and of no package of REFUSED."""
    parts = [*module.split("."), name]  # name may have no dots: protocol 4 would follow attributes
    is_plain = all(part.isascii() and part.isidentifier() for part in parts)
    is_layer = module == "torch.nn" or module.startswith("torch.nn.")
    return (
        is_plain
        and len(f"{module}.{name}") <= MAX_NAME
        and (is_layer or parts[0] not in REFUSED_PACKAGES)
    )
