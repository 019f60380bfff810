"""Reduces recorded operations to what a drawing shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bench.attention_drawings.record import Node

MANY_PARTS = 5  # parts of one map from which on they are drawn as one
MOST_LINES = 6  # in one box
LONGEST_LINE = 24  # letters; the parameter's name behind a longer one goes to the next line
SUMS = (["+"], ["sum of products"])
APART = ("split", "concat", "stack", "part", "parts")


def simplify(nodes: Sequence[Node]) -> list[Node]:
    """Return the operations that a drawing shows, in their order, the output last.

    Reshaping disappears, and so does what the output does not depend on. Equal operations on the
    same values, sums of sums, and chains that keep the shape become one box each.
    """
    found = reachable(skip_moves(nodes))
    while True:
        before = len(found)
        found = reachable(merge_equal(merge_sums(merge_shifts(merge_parts(found)))))
        if len(found) == before:
            return [fold(node) for node in reachable(merge_chains(found))]


def skip_moves(nodes: Sequence[Node]) -> list[Node]:
    """Let every operation read what was there before the reshaping."""
    origin = list(range(len(nodes)))
    for number, node in enumerate(nodes):
        if node.moves and node.inputs:
            origin[number] = origin[node.inputs[0]]
    return [redirect(node, origin) for node in nodes]


def fold(node: Node) -> Node:
    """Break long lines before the parameter's name in brackets."""
    lines = []
    for line in node.lines:
        head, bracket, name = line.partition(" (")
        short = len(line) <= LONGEST_LINE or not bracket
        lines += [line] if short else [head, f"({name}"]
    return replace(node, lines=lines)


def redirect(node: Node, origin: Sequence[int]) -> Node:
    """A node that reads the origins of its inputs, each once."""
    return replace(node, inputs=list(dict.fromkeys(origin[one] for one in node.inputs)))


def reachable(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that the last one depends on, numbered anew."""
    used = {len(nodes) - 1}
    for number in range(len(nodes) - 1, -1, -1):
        if number in used:
            used |= set(nodes[number].inputs)
    kept = sorted(used | {0})
    place = {number: index for index, number in enumerate(kept)}
    return [
        replace(nodes[number], inputs=[place[one] for one in nodes[number].inputs])
        for number in kept
    ]


def readers(nodes: Sequence[Node]) -> Counter[int]:
    """How many nodes read each node."""
    return Counter(one for node in nodes for one in node.inputs)


def merge_parts(nodes: Sequence[Node]) -> list[Node]:
    """Draw many parts of one map, such as the neighbours of each position, as one."""
    nodes, count = list(nodes), readers(nodes)
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, node in enumerate(nodes):
        if node.lines == ["part"]:
            whole = nodes[node.inputs[0]]
            if whole.lines == ["part"] and count[node.inputs[0]] == 1:  # a part of a part
                node = nodes[number] = replace(node, inputs=whole.inputs)
            groups[(*node.inputs, *node.shape)].append(number)
    origin, result = list(range(len(nodes))), list(nodes)
    for numbers in groups.values():
        if len(numbers) >= MANY_PARTS:
            result[numbers[0]] = replace(nodes[numbers[0]], lines=[f"{len(numbers)} shifted views"])
            for number in numbers:
                origin[number] = numbers[0]
    return [redirect(node, origin) for node in result]


def merge_shifts(nodes: Sequence[Node]) -> list[Node]:
    """Draw parts of one map that are put together again as a shift, and a split of a split once."""
    count, result = readers(nodes), list(nodes)
    for number, node in enumerate(nodes):
        read = [nodes[one] for one in node.inputs]
        wholes = {one for part in read for one in part.inputs}
        if node.lines == ["split"] and read[0].lines == ["split"] and count[node.inputs[0]] == 1:
            result[number] = replace(node, inputs=read[0].inputs)
        if node.lines != ["concat"] or len(wholes) != 1:
            continue
        whole = next(iter(wholes))
        alike = all(part.lines == ["part"] for part in read)
        if alike and nodes[whole].shape == node.shape:
            result[number] = replace(node, lines=["shift"], inputs=[whole])
    return result


def merge_equal(nodes: Sequence[Node]) -> list[Node]:
    """Let one node stand for all that do the same with the same values."""
    origin, seen, result = list(range(len(nodes))), dict[tuple[object, ...], int](), []
    for number, one in enumerate(nodes):
        node = redirect(one, origin)
        result.append(node)
        key = (tuple(node.lines), tuple(sorted(node.inputs)), node.shape)
        if not node.weighted and node.lines != ["part"] and node.inputs:
            origin[number] = seen.setdefault(key, number)
    return result


def merge_sums(nodes: Sequence[Node]) -> list[Node]:
    """Turn a sum of sums into one sum, where nobody else reads the inner one."""
    count, result = readers(nodes), list(nodes)
    for number, node in enumerate(result):
        if node.lines in SUMS:
            inputs: list[int] = []
            for one in node.inputs:
                inner = result[one]
                same = (inner.lines, inner.shape, count[one]) == (node.lines, node.shape, 1)
                inputs += inner.inputs if same else [one]
            result[number] = replace(node, inputs=list(dict.fromkeys(inputs)))
    return result


def merge_chains(nodes: Sequence[Node]) -> list[Node]:
    """Write operations that follow one another and keep the shape into one box."""
    count, result = readers(nodes), list(nodes)
    origin = list(range(len(nodes)))
    for number, one in enumerate(nodes[:-1]):
        node = redirect(one, origin)
        result[number] = node
        if len(node.inputs) != 1 or number == 0 or node.inputs[0] == 0:
            continue
        before = node.inputs[0]
        ahead = result[before]
        joined = [*ahead.lines, *node.lines]
        apart = ahead.lines[-1] in APART or node.lines[0] in APART
        fits = ahead.shape == node.shape and len(joined) <= MOST_LINES
        if count[before] == 1 and fits and not apart:
            weighted = ahead.weighted or node.weighted
            result[number] = replace(ahead, lines=joined, weighted=weighted)
            result[before] = replace(ahead, inputs=[])
            # The box stands where the later operation was; nobody else read the earlier one.
    result[-1] = redirect(nodes[-1], origin)
    return result
