"""The graph of a foreign network, from its YAML and its instances."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from models.graph.read import read_graph
from models.weights.upstream.fit import fit_state
from models.weights.upstream.graph import read_foreign_graph, strides_of
from models.weights.upstream.tree import Tree, read_tree
from models.yolo import DetectionModel
from tests.tiny import FREE_GRAPH, GRAPH
from utils.errors import UserError
from utils.pickles.objects import PickledObject

graphs = pytest.mark.parametrize("graph", [GRAPH, FREE_GRAPH], ids=["v5", "v8"])


def as_object(module: torch.nn.Module, rows: bool = False) -> PickledObject:
    """A module as the reader gives it."""
    children = enumerate(module.children()) if rows else module.named_children()
    kind = {"DetectV8": "Detect"}.get(type(module).__name__, type(module).__name__)
    plain = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, (int, float, str, tuple)) and name != "training"
    }
    state: dict[str, object] = {
        **plain,
        "_parameters": dict(module._parameters),
        "_buffers": {key: value for key, value in module._buffers.items() if key != "stride"},
        "_modules": {str(name): as_object(child) for name, child in children},
    }
    act = getattr(module, "act", None)
    if isinstance(act, torch.nn.Module):
        state["_modules"] = {**state["_modules"], "act": as_object(act)}  # type: ignore[dict-item]
    if hasattr(module, "residual"):
        state["add"] = module.residual
    return PickledObject(f"models.common.{kind}", state)


def tree_of(graph: dict[str, Any]) -> Tree:
    model = DetectionModel(graph)
    rows = as_object(model.model, rows=True)
    head: Any = rows.get("_modules")
    head[str(len(model.model) - 1)].state |= {"nc": 2, "stride": model.stride}
    state = {"yaml": {**model.graph}, "stride": model.stride, "_modules": {"model": rows}}
    return read_tree(PickledObject("models.yolo.Model", state))


@graphs
def test_the_graph_and_the_state_come_back(graph: dict[str, Any]) -> None:
    tree, ours = tree_of(graph), read_graph(DetectionModel(graph).graph)
    found = read_graph(read_foreign_graph(tree))
    assert [row.module for row in found.rows] == [row.module for row in ours.rows]
    assert (found.class_count, found.anchors, found.reg_max) == (2, ours.anchors, ours.reg_max)
    expected = DetectionModel(graph).state_dict()
    state = fit_state(found, tree)
    assert list(state) == list(expected)
    assert all(torch.equal(state[key], value) for key, value in expected.items())


def test_attention_without_an_instance_is_an_error() -> None:
    tree = tree_of(GRAPH)
    rows: Any = tree.modules["model"].get("_modules")
    rows["4"] = None
    with pytest.raises(UserError, match="row 4: SimAM: but the model has None there"):
        read_foreign_graph(tree)


def with_block(settings: dict[str, Any], name: str, module: str) -> tuple[Tree, DetectionModel]:
    """The network of a fork with attention inside row 2's block, under names of the fork.

    Args:
        settings: of the attention, as our graph has them.
        name: of the fork's class.
        module: name of the attention in each bottleneck.

    Returns:
        The fork's network, and ours.
    """
    graph: dict[str, Any] = copy.deepcopy(GRAPH)
    graph["backbone"][2] = [-1, 6, "C3", [64, settings]]
    model = DetectionModel(graph)
    rows = as_object(model.model, rows=True)
    block: Any = rows.get("_modules")["2"]  # type: ignore[index]
    block.kind = f"models.common.{name}"
    for bottleneck in block.state["_modules"]["m"].state["_modules"].values():
        children = bottleneck.state["_modules"]
        children[module] = children.pop("attention")
    head: Any = rows.get("_modules")
    head[str(len(model.model) - 1)].state |= {"nc": 2, "stride": model.stride}
    graph["backbone"][2] = [-1, 6, name, [64]]
    graph["yaml_file"] = "fork.yaml"
    state = {"yaml": graph, "stride": model.stride, "_modules": {"model": rows}}
    return read_tree(PickledObject("models.yolo.Model", state)), model


def test_a_block_with_attention_inside_comes_back() -> None:
    settings = {"inside": "SE", "place": "branch", "reduction": 8, "bias": False}
    tree, model = with_block(settings, "C3SE", "se")
    graph = read_foreign_graph(tree)
    assert graph["backbone"][2] == [-1, 6, "C3", [64, settings]]  # type: ignore[index]
    state, expected = fit_state(read_graph(graph), tree), model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    assert tree.renamed["model.2.m.1.attention.fc.0"] == "model.2.m.1.se.fc.0"


def test_a_gate_with_another_activation_is_refused() -> None:
    tree, _ = with_block({"inside": "SE"}, "C3SE", "se")
    gate: Any = tree.modules["model.2.m.0.se"].get("_modules")
    gate["act"] = PickledObject("torch.nn.SiLU", {})
    graph = read_graph(read_foreign_graph(tree))
    with pytest.raises(UserError, match=r"row 2: C3.m.0.attention: activations is \['SiLU'\]"):
        fit_state(graph, tree)


def test_a_block_that_is_not_known_is_named_with_the_remedy() -> None:
    tree, _ = with_block({"inside": "SE"}, "C3SE", "se")
    tree.state["model.2.m.0.se.other.weight"] = torch.zeros(3, 5)
    remedy = r"row 2: C3SE \(models.common.C3SE\): is not a module .* --modules, .* --cfg"
    with pytest.raises(UserError, match=remedy):
        read_foreign_graph(tree)


def test_attention_of_an_unknown_class_is_known_by_its_tensors() -> None:
    graph: dict[str, Any] = copy.deepcopy(GRAPH)
    graph["backbone"][4] = [-1, 1, "CoordAttention", {"reduction": 2}]
    tree = tree_of(graph)
    rows: Any = tree.modules["model"].get("_modules")
    rows["4"].kind = "nets.own.MyGate"
    written: Any = tree.root.get("yaml")
    written["backbone"][4] = [-1, 1, "MyGate", [16]]
    found: Any = read_foreign_graph(tree)["backbone"]
    assert found[4] == [-1, 1, "CoordAttention", {"reduction": 2}]


def test_strides_are_needed() -> None:
    assert strides_of(PickledObject("x", {"stride": torch.tensor([8.0, 16.0])}), "row 1") == [8, 16]
    for strides in (None, torch.zeros(2, 2), torch.zeros(21), torch.zeros(0)):
        with pytest.raises(UserError, match="row 1: has no strides"):
            strides_of(PickledObject("x", {"stride": strides}), "row 1")
    with pytest.raises(UserError, match="row 1: has no strides"):
        strides_of(None, "row 1")


@pytest.mark.parametrize(
    ("written", "act", "expected"),
    [
        ([64, 5], None, [64, 5]),
        ([64], False, [64, 5, 3, False, False]),
        ([64, 5], False, [64, 5, 3, False, False]),
        ([64, 5, 2], False, [64, 5, 2]),
        ([64, 5, 2], True, [64, 5, 2, False, True]),
        ([64, 5, 3, True], True, [64, 5, 3, True, True]),
    ],
)
def test_the_first_convolution_of_sppf_is_read_from_the_file(
    written: list[object], act: bool | None, expected: list[object]
) -> None:
    """Releases differ in whether it has an activation; a row of three values or more has none."""
    graph = {**FREE_GRAPH, "backbone": [*FREE_GRAPH["backbone"], [-1, 1, "SPPF", written]]}  # type: ignore[misc]
    built = {**graph, "backbone": [*FREE_GRAPH["backbone"], [-1, 1, "SPPF", expected]]}  # type: ignore[misc]
    for one in (graph, built):
        one["head"] = [[[4, 6], 1, "Detect", ["nc"]]]
    tree = tree_of(built)
    yaml: Any = tree.root.get("yaml")
    yaml["backbone"] = graph["backbone"]
    found = read_foreign_graph(tree)
    assert found["backbone"][6] == [-1, 1, "SPPF", expected]  # type: ignore[index]
    assert list(fit_state(read_graph(found), tree)) == list(DetectionModel(built).state_dict())


def test_one_to_one_branches_are_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A head without bins too, whose number shows in the box branch."""
    graph = {**FREE_GRAPH, "reg_max": 1}
    tree = tree_of(graph)
    head = tree.of_row(6)
    head |= {f"one2one_{key}": value for key, value in head.items()}
    found = read_foreign_graph(tree)
    assert found["reg_max"] == 1
    assert "row 6: Detect: its one-to-one branches are left out" in capsys.readouterr().out
    assert list(fit_state(read_graph(found), tree)) == list(DetectionModel(graph).state_dict())
