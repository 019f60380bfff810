"""The registry of attention modules, and the contract that each class must fulfil.

The contract is checked when the file of a class is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping
from typing import TypeVar

from torch import nn

from models.own.attention import own_attention
from models.own.registry import OWN, own_named


class AttentionTable(MutableMapping[str, type[nn.Module]]):
    """The classes that rows may name as attention: a person's own, then those of this folder."""

    def __init__(self) -> None:
        self.library: dict[str, type[nn.Module]] = {}

    def __getitem__(self, name: str) -> type[nn.Module]:
        if own_named(name) is None:
            return self.library[name]
        # A person's block of the same name hides attention of this folder.
        found = own_attention(name)
        if found is None:
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, kind: type[nn.Module]) -> None:
        self.library[name] = kind

    def __delitem__(self, name: str) -> None:
        del self.library[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in {**self.library, **OWN} if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


IGNORED = ""  # in an order: a place of YAML lists that this project's class does not need
ATTENTION = AttentionTable()
Kind = TypeVar("Kind", bound=type[nn.Module])


def register(*aliases: str) -> Callable[[Kind], Kind]:
    """Return a decorator that registers a class by its own name and by aliases from tutorials.

    Raises TypeError if the class breaks the contract, and ValueError if a name is taken already.
    Both are a programmer's mistakes and appear at import.
    """

    def enter(kind: Kind) -> Kind:
        check_contract(kind)
        for name in (kind.__name__, *aliases):
            if name in ATTENTION:
                files = f"{ATTENTION[name].__module__} and {kind.__module__}"
                raise ValueError(f"attention {name} is registered twice, by {files}")
            ATTENTION[name] = kind
        return kind

    return enter


def check_contract(kind: type[nn.Module]) -> None:
    """Raise TypeError unless the class fulfils the contract.

    It needs `__init__(self, channels, *, …)`, whose options have defaults, and `forward(self, x)`.
    What lists in YAML mean, a class says by optional attributes:

    - tutorial_order: the options that such a list gives by position.
    - other_orders: orders for lists of just that many values.
    - orders_of_names: orders for some of its names.
    - usual_values: numbers that mean the first option although they are large enough for a channel
      count.
    - list_defaults: options that such lists leave out, with the value that their authors mean; it
      counts where it divides the channels.
    - keeps_channels: true if the channel count of such lists is that of the input, for a class that
      could change it.
    - from_list: a class method (values, channels, scaled) that reads a list as a whole.

    Orders may have IGNORED in place of an option.
    """
    # The graph knows the number of channels, so it is the only argument without a default.
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    if [(first.name, first.kind) for first in parameters[:1]] != [
        ("channels", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]:
        raise TypeError(f"{kind.__name__}.__init__ must take (self, channels, *, …)")
    for parameter in parameters[1:]:
        if (
            parameter.kind != inspect.Parameter.KEYWORD_ONLY
            or parameter.default is inspect.Parameter.empty
        ):
            raise TypeError(
                f"{kind.__name__}.__init__: {parameter.name} must be keyword-only and have a"
                " default"
            )
    if len(inspect.signature(kind.forward).parameters) != 2:
        raise TypeError(f"{kind.__name__}.forward must take (self, x)")
    unknown = _options_in_orders(kind) - {IGNORED, *options(kind)}
    if unknown:
        raise TypeError(
            f"{kind.__name__}: its orders of arguments have {', '.join(sorted(unknown))}, which"
            " __init__ does not take"
        )


def _options_in_orders(kind: type[nn.Module]) -> set[str]:
    orders = [
        getattr(kind, "tutorial_order", ()),
        *getattr(kind, "other_orders", ()),
        *getattr(kind, "orders_of_names", {}).values(),
        getattr(kind, "list_defaults", {}),
    ]
    return {option for order in orders for option in order}


def options(kind: type[nn.Module]) -> list[str]:
    """Return the keyword arguments of an attention class, in their order."""
    return list(inspect.signature(kind.__init__).parameters)[2:]
