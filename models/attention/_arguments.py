"""Lists of arguments, as tutorials write them in attention rows, turned into keyword arguments.

Tutorials disagree on what such a list contains: options alone, or channel counts first. The builder
of a graph knows the real number of channels, so counts in YAML are only checked. What remains are
options by position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from models.attention._registry import options

# A leading whole number of at least this size declares channels: no option that comes first is
# that large.
SMALLEST_COUNT = 8


def read_list(
    kind: type[nn.Module],
    values: Sequence[object],
    channels: int,
    scaled: Callable[[int], int],
) -> tuple[dict[str, object], str]:
    """Turn `[1e-4]`, `[512]`, `[512, 512]` or `[512, 7]` into keyword arguments.

    A class that defines from_list reads the list itself.

    Args:
        kind: class of the module.
        values: the list in the row.
        channels: of the incoming map.
        scaled: from a channel count in YAML to the one at the graph's width.

    Returns:
        The keyword arguments, and a warning or "".

    Raises:
        ValueError: there are more values than the module has options.
    """
    known = options(kind)
    if hasattr(kind, "from_list"):
        return kind.from_list(list(values), channels, scaled), ""
    rest = list(values)
    declared = _declared(rest[0]) if rest else None
    if declared is not None:
        rest = rest[2:] if rest[1:2] == [declared] and _declared(rest[1]) else rest[1:]
    order = list(getattr(kind, "tutorial_order", ())) or [
        name for name in known if name != "out_channels"
    ]
    if len(rest) > len(order):
        raise ValueError(
            f"takes at most {len(order)} options ({', '.join(order)}) after an optional channel"
            " count"
        )
    arguments = dict(zip(order, rest, strict=False))
    if declared is None:
        return arguments, ""
    if "out_channels" in known:
        return {"out_channels": scaled(declared), **arguments}, ""
    fits = channels in (declared, scaled(declared))
    return arguments, (
        "" if fits else f"declares {declared} channels but gets {channels}; the real number is used"
    )


def _declared(value: object) -> int | None:
    """The number of channels that the value declares, or None."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= SMALLEST_COUNT:
        return value
    return None
