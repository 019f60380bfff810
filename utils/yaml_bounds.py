"""The bounds of a YAML, measured before anything is built: values, levels, and bytes that are text.

A YAML of a few hundred bytes may stand for lists of 10^9 entries, since an alias repeats a part of
the file. So each alias counts as what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml.constructor import ConstructorError

from utils.text import REPLACEMENT, printable, shown

MOST_NODES = 250_000  # values and keys, with aliases written out; 100,000 named classes are 200,000
LONG_TEXT = 100  # characters of text that count as one more value
MOST_DEPTH = 100  # levels of lists and mappings


class OutOfBounds(ConstructorError):
    """YAML that is valid but beyond the bounds, or whose bytes are no text."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being counted: nodes with aliases written out, and levels."""

    anchor: str | None
    nodes: int = 1
    depth: int = 1

    def add(self, nodes: int, depth: int) -> None:
        self.nodes += nodes
        self.depth = max(self.depth, depth + 1)


def check_size(events: Iterator[yaml.Event], may_replace: bool = True) -> None:
    """Count the nodes of a text as if each alias were written out, and its levels.

    Args:
        events: of the parser, which are read only as far as the bounds allow.
        may_replace: whether values may hold replacement signs, which otherwise stand for bytes
            that are not UTF-8.

    Raises:
        OutOfBounds: The text is larger or deeper than the bounds, repeats itself without end,
            or has such bytes outside comments.
    """
    sizes: dict[str, tuple[int, int]] = {}  # of the values with an anchor: nodes, levels
    levels, total = [_Open(None)], 0
    for event in events:
        nodes, depth = 1, 0
        if isinstance(event, yaml.CollectionEndEvent):
            done = levels.pop()
            nodes, depth = done.nodes, done.depth
            if done.anchor:
                sizes[done.anchor] = nodes, depth
        elif isinstance(event, yaml.AliasEvent):
            if any(level.anchor == event.anchor for level in levels):
                raise _beyond(
                    event, f"*{printable(event.anchor, 40)} repeats itself without end; remove it"
                )
            nodes, depth = sizes.get(str(event.anchor), (1, 0))
            total += nodes
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.ScalarEvent):
                nodes += len(event.value) // LONG_TEXT
                if not may_replace:
                    _refuse_replaced(event)
            total += nodes
            if isinstance(event, yaml.CollectionStartEvent):
                levels.append(_Open(event.anchor))
                nodes = 0
            elif event.anchor:
                sizes[event.anchor] = nodes, 0
        else:
            continue
        if nodes:
            levels[-1].add(nodes, depth)
        if total > MOST_NODES:
            raise _beyond(event, f"stands for more than {MOST_NODES:,} values; shorten it")
        if len(levels) + depth > MOST_DEPTH:
            raise _beyond(event, f"is nested more than {MOST_DEPTH} levels deep; flatten it")


def _beyond(event: yaml.Event, problem: str) -> OutOfBounds:
    return OutOfBounds(None, None, problem, event.start_mark)  # type: ignore[arg-type]


def _refuse_replaced(event: yaml.ScalarEvent) -> None:
    if REPLACEMENT in event.value:
        what = f"{shown(event.value, 40)} has bytes that are not UTF-8; save the file as UTF-8"
        raise _beyond(event, what)
