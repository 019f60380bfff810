"""Lists of arguments, as tutorials write them in attention rows, turned into keyword arguments.

Tutorials disagree on what such a list contains: options alone, or channel counts first. The builder
of a graph knows the real number of channels, so counts in YAML are only checked. What remains are
options by position, in an order that a class declares for its own name and for its aliases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from models.attention._registry import IGNORED, options

# A leading whole number of at least this size declares channels, unless the class says in
# `usual_values` that it is a value of its first option.
SMALLEST_COUNT = 8
# The widths of public graphs. A number that is the count of the row's channels at one of them was
# most likely written as a count, for a graph of that width.
USUAL_WIDTHS = (0.25, 0.375, 0.5, 0.75, 1.0, 1.25, 1.5)


def read_list(
    kind: type[nn.Module],
    values: Sequence[object],
    channels: int,
    scaled: Callable[[int], int],
    name: str = "",
) -> tuple[dict[str, object], str]:
    """Turn `[1e-4]`, `[512]`, `[512, 512]`, `[512, 7]` or `[512, 16, 7]` into keyword arguments.

    A class that defines from_list reads the list itself.

    Args:
        kind: class of the module.
        values: the list in the row.
        channels: of the incoming map.
        scaled: from a channel count in YAML to the one at the graph's width.
        name: of the module as the row writes it, which may have an order of its own.

    Returns:
        The keyword arguments, and a warning or "".

    Raises:
        ValueError: there are more values than the module has options.
    """
    if hasattr(kind, "from_list"):
        return kind.from_list(list(values), channels, scaled), ""
    declared, outputs, rest = _split_counts(kind, values, channels, scaled)
    order = choose_order(kind, name, len(rest))
    if len(rest) > len(order):
        raise ValueError(
            f"takes at most {len(order)} options ({', '.join(filter(None, order))}) after an"
            f" optional channel count; {rest} may belong to another module of this name"
        )
    arguments = {**usual_options(kind, channels), **by_position(order, rest)}
    if declared is None:
        return arguments, ""
    if _counts_outputs(kind):
        return {"out_channels": outputs, **arguments}, ""
    fits = channels in (declared, scaled(declared))
    return arguments, (
        "" if fits else f"declares {declared} channels but gets {channels}; the real number is used"
    )


def by_position(order: Sequence[str], values: Sequence[object]) -> dict[str, object]:
    """The keyword arguments that values give in the order of options, without ignored ones."""
    pairs = zip(order, values, strict=False)
    return {option: value for option, value in pairs if option != IGNORED}


def usual_options(kind: type[nn.Module], channels: int) -> dict[str, object]:
    """The options that public files leave out, with the values that their authors mean."""
    usual: Mapping[str, int] = getattr(kind, "list_defaults", {})
    return {option: value for option, value in usual.items() if channels % value == 0}


def _split_counts(
    kind: type[nn.Module], values: Sequence[object], channels: int, scaled: Callable[[int], int]
) -> tuple[int | None, int, list[object]]:
    """Split the channel counts off a list.

    Returns the declared count of the input or None, the output channels for a class that can change
    them, and the options.
    """
    rest = list(values)
    first = declared_count(rest[0]) if rest else None
    if first is None or (_is_usual(kind, first) and first not in _counts(channels, scaled, rest)):
        return None, channels, rest
    second = declared_count(rest[1]) if len(rest) > 1 else None
    # Different counts are those of input and output only in a list that repeats a whole constructor
    # call. The second of two is more often a count in the place of another option.
    differ = _counts_outputs(kind) and len(rest) > 2
    has_both = second is not None and (second == first or (differ and not _is_usual(kind, second)))
    last = second if has_both and second is not None else first
    # A list of both counts repeats a constructor call, whose counts no parser scales.
    is_literal = has_both and channels == first != scaled(first)
    return first, last if is_literal else scaled(last), rest[2:] if has_both else rest[1:]


def _counts_outputs(kind: type[nn.Module]) -> bool:
    """Whether a channel count in a list is that of the output rather than of the input."""
    return "out_channels" in options(kind) and not getattr(kind, "keeps_channels", False)


def _is_usual(kind: type[nn.Module], value: int) -> bool:
    return value in getattr(kind, "usual_values", ())


def _counts(channels: int, scaled: Callable[[int], int], values: list[object]) -> set[int]:
    """The numbers at the start of a list that can only be the channel count of its row.

    A number alone may also be the count at another width, for which the file was written first.
    """
    width = scaled(256) / 256
    widths = (width, 1.0) if len(values) > 1 else (*USUAL_WIDTHS, width)
    return {channels, *(math.ceil(channels * usual / width / 8) * 8 for usual in widths)}


def choose_order(kind: type[nn.Module], name: str, length: int) -> Sequence[str]:
    """The options that a list of `length` values gives by position.

    name is that of the module as the row writes it, "" where it says nothing about the order.
    """
    by_name: dict[str, tuple[str, ...]] = getattr(kind, "orders_of_names", {})
    if name in by_name:
        return by_name[name]
    others: tuple[tuple[str, ...], ...] = getattr(kind, "other_orders", ())
    fitting = [order for order in others if len(order) == length]
    usual: tuple[str, ...] = getattr(kind, "tutorial_order", ())
    return next(iter(fitting), usual) or [
        option for option in options(kind) if option != "out_channels"
    ]


def declared_count(value: object) -> int | None:
    """The number of channels that a value in a list may declare, or None."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= SMALLEST_COUNT:
        return value
    return None
