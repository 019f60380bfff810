"""The families: which graph is of which, and that nobody asks for their names."""

from __future__ import annotations

import ast
import copy
import re

import pytest

from models.yolo import DetectionModel
from tests.tiny import FREE_GRAPH, GRAPH
from utils.families import FAMILIES, V5, V8, Family, family_of
from utils.files import ROOT, find_file
from utils.structures import HeadSpec

ASKS = ([[0], 1, "Detect", ["nc", "anchors"]],)


@pytest.mark.parametrize(
    ("graph", "family"),
    [
        ({"anchors": 3}, V5),
        ({"nc": 3}, V8),
        ({"head": [*ASKS]}, V5),  # its anchors are missing, which is an error of a V5 graph
        ({"head": [[[0], 1, "Detect", ["nc"]]]}, V8),
        ({"head": [[0]]}, V8),
        ({"head": []}, V8),
        ({"head": "Detect"}, V8),
        ({}, V8),
    ],
)
def test_a_graphs_family_follows_from_its_anchors(graph: dict[str, object], family: Family):
    assert family_of(graph) is family


@pytest.mark.parametrize(("graph", "family"), [(GRAPH, V5), (FREE_GRAPH, V8)], ids=["v5", "v8"])
def test_head_spec_and_model_say_the_family_of_their_graph(
    graph: dict[str, object], family: Family
):
    model = DetectionModel({**graph, "scale": "n"} if family is V8 else graph)
    assert model.family is model.spec.family is family_of(model.graph) is family
    assert copy.deepcopy(model).family is family
    columns = {key.split(".", 2)[2] for key in model.state_dict() if key.startswith("model.5.")}
    assert family.class_kernel in columns
    assert {name for name in columns if family.class_tensors.fullmatch(name)} > {
        family.class_kernel
    }


def test_a_spec_names_its_family():
    with pytest.raises(TypeError):
        HeadSpec(class_count=3, strides=(8.0,))  # type: ignore[call-arg]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_what_a_family_names_is_there(family: Family):
    assert find_file(family.hyp, "data/hyps").is_file()
    assert find_file(family.example, "models").is_file()
    assert family.box_columns == 4 + family.has_objectness


def test_nobody_compares_the_names_of_families():
    """A question such as `family == "v5"` belongs into utils/families.py, as a property."""
    names = {family.name for family in FAMILIES}
    asked = []
    for file in ROOT.rglob("*.py"):
        place = file.relative_to(ROOT).as_posix()
        if re.match(r"tests/|utils/families\.py|bench/|runs/|datasets/|\.", place):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        asked += [
            f"{place}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in names
        ]
    assert asked == []
