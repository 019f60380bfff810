"""The head's class and arguments follow from the family and the top of the file."""

from __future__ import annotations

from typing import Any

import pytest

from models.graph.head_row import head_arguments, head_class
from models.graph.layers import LAYERS
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV8
from models.heads.asff import ASFFDetect, ASFFDetectV8
from utils.errors import UserError


def graph_of(file: str, module: str = "Detect") -> Any:
    content = load_graph(file)
    content["head"][-1][2] = module
    return read_graph({"ch": 3, **content})


@pytest.mark.parametrize(
    ("file", "module", "kind"),
    [
        ("yolov5n.yaml", "Detect", Detect),
        ("yolov8n.yaml", "Detect", DetectV8),
        ("yolov5n.yaml", "ASFF_Detect", ASFFDetect),
        ("yolov8n.yaml", "ASFF_Detect", ASFFDetectV8),
    ],
)
def test_the_class_is_that_of_the_family(file: str, module: str, kind: Any) -> None:
    graph = graph_of(file, module)
    assert head_class(graph, graph.rows[-1], LAYERS[module]) is kind


def test_arguments_come_from_the_top_of_the_file() -> None:
    five, eight = graph_of("yolov5n.yaml"), graph_of("yolov8n.yaml")
    assert head_arguments(five, five.rows[-1], [80, "anchors"], [64, 128, 256]) == [
        80,
        3,
        [64, 128, 256],
    ]
    found = head_arguments(eight, eight.rows[-1], [80], [64, 128, 256])
    assert found[:4] == [80, 16, [64, 128, 256], False]
    for graph, given in ((five, [80]), (eight, [80, "anchors"])):
        with pytest.raises(UserError, match="top of the file"):
            head_arguments(graph, graph.rows[-1], given, [64, 128, 256])
    with pytest.raises(UserError, match="reads 2 maps, but anchors has 3 levels"):
        head_arguments(five, five.rows[-1], [80, "anchors"], [64, 128])
