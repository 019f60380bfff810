"""Recording, reducing and arranging the operations of a module."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from bench.attention_drawings.__main__ import main
from bench.attention_drawings.layout import arrange, crossings, in_layers, order
from bench.attention_drawings.record import Node, record_module
from bench.attention_drawings.simplify import simplify
from bench.attention_drawings.svg import apart, as_svg
from utils.errors import UserError


class Gate(nn.Module):
    """Squeeze and excitation, with some reshaping on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(256, 16), nn.Linear(16, 256)
        self.unused = nn.Linear(256, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        self.unused(x.mean((2, 3)))
        weight = self.up(self.down(x.mean((2, 3))).relu()).sigmoid()
        return x * weight.view(1, -1, 1, 1)


@pytest.fixture(scope="module")
def gate() -> list[Node]:
    return simplify(record_module(Gate(), (1, 256, 42, 56)))


def test_a_gate_is_recorded_without_reshaping_and_dead_ends(gate):
    lines = [node.lines for node in gate]
    assert lines == [
        ["x"],
        ["mean over H, W"],
        ["linear (down)", "ReLU"],
        ["linear (up)", "sigmoid"],
        ["×"],
        ["output"],
    ]
    assert [node.inputs for node in gate] == [[], [0], [1], [2], [0, 3], [4]]
    assert gate[2].weighted
    assert gate[2].shape == (16,)


def test_many_views_become_one():
    class Neighbours(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            padded = nn.functional.pad(x, (1, 1, 1, 1))
            views = [padded[:, :, a : a + 42, b : b + 56] for a in range(3) for b in range(3)]
            total = torch.zeros_like(x)
            for view in views:
                total = torch.addcmul(total, view, view.sigmoid())
            return total

    lines = [node.lines for node in simplify(record_module(Neighbours(), (1, 8, 42, 56)))]
    assert ["9 shifted views"] in lines
    assert lines.count(["sum of products"]) == 1
    assert lines.count(["sigmoid"]) == 1


def test_boxes_do_not_overlap_and_arrows_lead_down(gate):
    drawing = arrange(gate)
    for row in {place.layer for place in drawing.places}:
        there = sorted((p for p in drawing.places if p.layer == row), key=lambda p: p.x)
        for left, right in pairwise(there):
            assert left.x + left.width / 2 < right.x - right.width / 2
    for way in drawing.ways:
        heights = [drawing.places[one].y for one in way]
        assert heights == sorted(heights)
    assert {(way[0], way[-1]) for way in drawing.ways} == {
        (one, number) for number, node in enumerate(gate) for one in node.inputs
    }


def test_crossings_that_need_not_be_are_removed():
    """a and b are read by d and c: the second layer turns round."""
    nodes = [
        Node(["x"], []),
        Node(["a"], [0]),
        Node(["b"], [0]),
        Node(["c"], [2]),
        Node(["d"], [1]),
    ]
    nodes.append(Node(["output"], [3, 4]))
    places = in_layers(nodes).places
    assert crossings(places, [[0], [1, 2], [3, 4], [5]]) == 1
    assert crossings(places, order(places)) == 0


def test_the_drawing_is_xml_with_a_box_for_each_node(gate):
    tree = ElementTree.fromstring(as_svg(gate, "a & b"))
    names = [one.tag.split("}")[1] for one in tree.iter()]
    assert names.count("rect") == len(gate)
    assert tree[0].text == "a & b"
    texts = [one.text for one in tree.iter() if one.tag.endswith("text")]
    assert {"×", "sigmoid", "C × H × W", "C/16"} <= set(texts)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="Nothing: no such attention module"):
        main(["Nothing"])


def test_labels_are_not_written_over_each_other():
    labels = [(0.0, 5.0, "2 × C"), (20.0, 5.0, "C"), (28.0, 5.0, "H"), (20.0, 9.0, "W")]
    assert apart(reversed(labels)) == [labels[3], labels[2], labels[0]]
