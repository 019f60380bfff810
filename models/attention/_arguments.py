"""Arguments of attention rows as people's tutorials write them, turned into keyword arguments that
mean the same.

Tutorials disagree on what the list holds: options, or channel counts first. models/yolo.py knows
the real channel count, so counts in YAML are only checked, and what remains are options by
position.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from models.attention._registry import options

# a leading whole number from here on declares channels; no option of any module starts so high
SMALLEST_COUNT = 8


def read_list(
    kind: type[nn.Module], values: list[Any], channels: int, scaled: Any
) -> tuple[dict[str, Any], str]:
    """Turn `[1e-4]`, `[512]`, `[512, 512]` or `[512, 7]` into keyword arguments and a warning (""
    if there is none).

    channels: of the incoming map. scaled: function from a channel count in YAML to the one at the
    graph's width. A class with a from_list of its own reads the list itself. Raises ValueError when
    there are more values than the module has options.
    """
    known = options(kind)
    if hasattr(kind, "from_list"):
        return kind.from_list(list(values), channels, scaled), ""
    rest = list(values)
    declared = rest.pop(0) if rest and _is_count(rest[0]) else None
    if declared is not None and rest and _is_count(rest[0]) and rest[0] == declared:
        rest.pop(0)
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


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= SMALLEST_COUNT
