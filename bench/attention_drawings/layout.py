"""Arranges boxes in layers from top to bottom, and finds a way for each arrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.attention_drawings.record import Node

LINE, CHARACTER, PADDING = 15.0, 6.5, 9.0  # height of a line, width of a letter, of 12 px text
GAP, LAYER_GAP, LANE = 26.0, 34.0, 16.0  # between boxes, between layers, around a passing arrow
SWEEPS = 12


@dataclass
class Place:
    """A box, or a point through which an arrow passes a layer.

    x is the middle and y the upper end, floor the lower end of the layer, below which arrows may
    turn; above and below are the neighbours' numbers.
    """

    width: float
    height: float
    layer: int
    box: int = -1
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    floor: float = 0.0


@dataclass
class Drawing:
    """Places of all boxes, ways of all arrows, and the size of the whole.

    A way is the numbers of the places that an arrow passes, from its box to the box that reads it.
    """

    places: list[Place]
    ways: list[list[int]]
    width: float = 0.0
    height: float = 0.0


def arrange(nodes: Sequence[Node]) -> Drawing:
    """Place the boxes of a drawing."""
    drawing = in_layers(nodes)
    rows = order(drawing.places)
    for step in range(SWEEPS):
        pull(drawing.places, rows, downward=step % 2 == 0)
    pull_both(drawing.places, rows)
    straighten(drawing, rows)
    left = min(place.x - place.width / 2 for place in drawing.places)
    y = 0.0
    for row in rows:
        tallest = max(drawing.places[one].height for one in row)
        for one in row:
            place = drawing.places[one]
            place.x -= left
            if place.box < 0:  # an arrow passes the whole layer upright, beside its boxes
                place.height = tallest
            place.y, place.floor = y, y + tallest
        y += tallest + LAYER_GAP
    drawing.width = max(place.x + place.width / 2 for place in drawing.places)
    drawing.height = y - LAYER_GAP
    return drawing


def layers_of(nodes: Sequence[Node]) -> list[int]:
    """The layer of each box: below all that it reads, and close above the first that reads it."""
    layers = [0] * len(nodes)
    for number, node in enumerate(nodes):
        layers[number] = 1 + max((layers[one] for one in node.inputs), default=-1)
    for number in range(len(nodes) - 2, 0, -1):
        below = [layers[i] for i, node in enumerate(nodes) if number in node.inputs]
        if len(nodes[number].inputs) <= 1 and below:
            layers[number] = max(layers[number], min(below) - 1)
    return layers


def in_layers(nodes: Sequence[Node]) -> Drawing:
    """Make the places, with points where arrows pass layers; arrows of one box share them."""
    layers = layers_of(nodes)
    places = [
        Place(width_of(node), LINE * len(node.lines) + PADDING, layer, number)
        for number, (node, layer) in enumerate(zip(nodes, layers, strict=True))
    ]
    lanes: dict[tuple[int, int], int] = {}
    ways = []
    for target, node in enumerate(nodes):
        for source in node.inputs:
            way = [source]
            for layer in range(layers[source] + 1, layers[target]):
                if (source, layer) not in lanes:
                    lanes[source, layer] = len(places)
                    places.append(Place(LANE, 0.0, layer))
                way.append(lanes[source, layer])
            way.append(target)
            ways.append(way)
    for way in ways:
        for upper, lower in pairwise(way):
            if lower not in places[upper].below:
                places[upper].below.append(lower)
                places[lower].above.append(upper)
    return Drawing(places, ways)


def width_of(node: Node) -> float:
    longest = max(map(len, node.lines))
    return max(longest * CHARACTER + 2 * PADDING, 34.0)


def order(places: Sequence[Place]) -> list[list[int]]:
    """The order in each layer with the fewest crossings that were met."""
    rows: list[list[int]] = [[] for _ in range(max(place.layer for place in places) + 1)]
    for number, place in enumerate(places):
        rows[place.layer].append(number)
    best, fewest = [list(row) for row in rows], crossings(places, rows)
    for step in range(SWEEPS):
        down = step % 2 == 0
        for row in rows if down else reversed(rows):
            at = {one: index for line in rows for index, one in enumerate(line)}
            middle = {one: mean_place(places[one], at, down) for one in row}
            row.sort(key=lambda one: middle[one])
        if (count := crossings(places, rows)) < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def mean_place(place: Place, at: dict[int, int], down: bool) -> float:
    beside = place.above if down else place.below
    return sum(at[one] for one in beside) / len(beside) if beside else 0.0


def crossings(places: Sequence[Place], rows: Sequence[Sequence[int]]) -> int:
    """How many pairs of arrows cross between neighbouring layers."""
    count = 0
    for row, following in pairwise(rows):
        at = {one: index for index, one in enumerate(following)}
        ends = [sorted(at[low] for low in places[one].below) for one in row]
        for index, later in enumerate(ends):
            count += sum(a > b for earlier in ends[:index] for a in earlier for b in later)
    return count


def pull(places: Sequence[Place], rows: Sequence[Sequence[int]], downward: bool) -> None:
    """Move each box below (or above) the middle of its neighbours, as far as others allow."""
    for row in rows if downward else reversed(rows):
        wanted = []
        for one in row:
            beside = places[one].above if downward else places[one].below
            middle = [places[other].x for other in beside]
            wanted.append(sum(middle) / len(middle) if middle else places[one].x)
        settle(places, row, wanted)


def pull_both(places: Sequence[Place], rows: Sequence[Sequence[int]]) -> None:
    """Move each box to the middle of all its neighbours; passing arrows become straight."""
    for _ in range(SWEEPS):
        for row in rows:
            wanted = []
            for one in row:
                beside = [*places[one].above, *places[one].below]
                wanted.append(sum(places[other].x for other in beside) / len(beside))
            settle(places, row, wanted)


def straighten(drawing: Drawing, rows: Sequence[Sequence[int]]) -> None:
    """Give all points of a passing arrow one x, where every layer has room for it."""
    places = drawing.places

    def limits(one: int) -> tuple[float, float]:
        row = rows[places[one].layer]
        at = row.index(one)
        reach = LANE / 2 + GAP / 3
        left = [places[other].x + places[other].width / 2 + reach for other in row[at - 1 : at]]
        right = [places[other].x - places[other].width / 2 - reach for other in row[at + 1 :]]
        return (left or [-math.inf])[0], (right or [math.inf])[0]

    for way in drawing.ways:
        points = [one for one in way if places[one].box < 0]
        if len(points) > 1:
            room = {one: limits(one) for one in points}
            low = max(least for least, _ in room.values())
            high = min(most for _, most in room.values())
            middle = sorted(places[one].x for one in points)[len(points) // 2]
            if low <= high:
                for one in points:
                    places[one].x = min(max(middle, low), high)


def settle(places: Sequence[Place], row: Sequence[int], wanted: Sequence[float]) -> None:
    """Set x to the values closest to wanted, in squares, that keep the order and the gaps.

    With the gaps taken off, the values must not fall from left to right: the best such values are
    means of runs (pool adjacent violators).
    """
    offsets, x = [], 0.0
    for index, one in enumerate(row):
        if index:
            x += (places[row[index - 1]].width + places[one].width) / 2 + GAP
        offsets.append(x)
    runs: list[tuple[float, float, int]] = []  # sum, weight, members
    for one, want, offset in zip(row, wanted, offsets, strict=True):
        weight = 1.0 if places[one].box >= 0 else 3.0
        run = ((want - offset) * weight, weight, 1)
        while runs and runs[-1][0] / runs[-1][1] > run[0] / run[1]:
            last = runs.pop()
            run = (last[0] + run[0], last[1] + run[1], last[2] + run[2])
        runs.append(run)
    means = [total / weight for total, weight, members in runs for _ in range(members)]
    for one, mean, offset in zip(row, means, offsets, strict=True):
        places[one].x = mean + offset
