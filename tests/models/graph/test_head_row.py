"""The head's row repeats the top of its file, or is refused."""

from __future__ import annotations

import pytest

from models.graph.head_row import head_arguments
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV8
from utils.errors import UserError


def test_arguments_of_both_families() -> None:
    graph = read_graph(load_graph("models/yolov5n.yaml"))
    row, widths = graph.rows[-1], [64, 128, 256]
    assert head_arguments(graph, row, Detect, [80, "anchors"], widths) == [80, 3, widths]
    with pytest.raises(UserError, match="reads 2 maps, but anchors has 3 levels"):
        head_arguments(graph, row, Detect, [80, "anchors"], widths[:2])
    with pytest.raises(UserError, match=r"takes its classes and anchors .* write \[nc, anchors\]"):
        head_arguments(graph, row, Detect, [80], widths)
    graph = read_graph(load_graph("models/yolov8n.yaml"))
    row = graph.rows[-1]
    assert head_arguments(graph, row, DetectV8, [80], widths)[:3] == [80, 16, widths]
    with pytest.raises(UserError, match="is a head with anchors; add `anchors`"):
        head_arguments(graph, row, Detect, [80], widths)
    with pytest.raises(UserError, match=r"without anchors .* write \[nc\]"):
        head_arguments(graph, row, DetectV8, [81], widths)
