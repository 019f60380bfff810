"""Own classes that keep the map, under the contract of models/attention: channels, then options.

So everything that takes attention takes them: rows with a list or a mapping, `--attention
Mine@neck`, bottlenecks, the identity at the start.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from models.own.adapter import OwnModule, class_body
from models.own.convention import announce, convention_of
from models.own.registry import OwnClass, own_named

SMALLEST_COUNT = 8  # of channels that a row declares
LARGEST_OPTION = 64  # a larger number is a count, unless the option's default is as large


def own_attention(name: str) -> type[OwnModule] | None:
    """The person's class of this name if rows of it are attention, else None."""
    own = own_named(name)
    return attention_kind(own) if own is not None and convention_of(own).is_attention else None


@cache
def attention_kind(own: OwnClass) -> type[OwnModule]:
    """A class of (channels, *, options) that builds the person's."""
    takes_channels = convention_of(own).style == "first"

    def build(self: OwnModule, channels: int, /, **options: object) -> None:
        announce(own)
        OwnModule.__init__(self, *[channels] * takes_channels, **options)

    build.__signature__ = _signature(own)  # type: ignore[attr-defined]
    body: dict[str, Any] = {**class_body(own, attention_kind), "__init__": build}
    if not hasattr(own.person, "from_list"):
        body["from_list"] = classmethod(_from_list)
    return type(own.name, (OwnModule, own.person), body)


def _signature(own: OwnClass) -> inspect.Signature:
    """(self, channels, *, options), which is what models/attention reads of a constructor."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [one.replace(kind=keyword) for one in options_of(own)]
    names = {one.name for one in options}
    channels = next(name for name in ("channels", "channels_", "_channels") if name not in names)
    first = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("self", channels)
    ]
    return inspect.Signature([*first, *options])


def options_of(own: OwnClass) -> list[inspect.Parameter]:
    """The parameters that a row gives."""
    skipped = {"none": 0, "first": 1, "both": 2}[convention_of(own).style]
    return own.parameters[skipped + convention_of(own).repeats :]


def _from_list(
    kind: type[OwnModule],
    values: Sequence[object],
    channels: int,
    scaled: Callable[[int], int],
) -> dict[str, object]:
    """The options of a row's list, in the constructor's order.

    Args:
        kind: the class of the row.
        values: the list.
        channels: of the incoming map.
        scaled: from a channel count in YAML to the one at the graph's width.

    Raises:
        ValueError: There are more values than options.
    """
    options = options_of(kind.own)
    rest = without_counts(options, values, channels, scaled)
    if len(rest) > len(options):
        raise ValueError(f"{kind.own.name} takes {kind.own.signature}, these are too many values")
    return dict(zip((one.name for one in options), rest, strict=False))


def without_counts(
    options: Sequence[inspect.Parameter],
    values: Sequence[object],
    channels: int,
    scaled: Callable[[int], int],
) -> list[object]:
    """A row's list without the channel counts at its start, `[512, 7]` or `[512, 512, 7]`.

    A number is one if it is the map's real or declared count, or too large or one too many for an
    option.
    """
    rest = list(values)
    default = options[0].default if options else None
    largest = max(LARGEST_OPTION, default if isinstance(default, int) else 0)

    def is_count(value: object) -> bool:
        if not isinstance(value, int) or isinstance(value, bool) or value < SMALLEST_COUNT:
            return False
        is_real = channels in (value, scaled(value))
        return is_real or value > largest or len(rest) > len(options)

    if rest and is_count(rest[0]):
        first = rest.pop(0)
        if rest[:1] == [first]:
            rest.pop(0)
    return rest
