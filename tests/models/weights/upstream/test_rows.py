"""Attention rows of foreign networks: translated in the tree, and in graphs for state dicts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.common import C3
from models.graph.read import read_graph
from models.weights.upstream.rows import attention_of, fit_graph, under
from models.weights.upstream.tree import Tree
from tests.tiny import GRAPH
from utils.errors import UserError
from utils.pickles.objects import PickledObject


def tree_with(state: dict[str, Tensor]) -> Tree:
    tree = Tree(PickledObject("models.yolo.Model", {}))
    tree.state = {f"model.4.{key}": value for key, value in state.items()}
    return tree


def gates(prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}l1.weight": torch.ones(2, 16),
        f"{prefix}l2.weight": torch.full((16, 2), 2.0),
    }


def test_a_row_gets_our_keys_and_remembers_its_modules() -> None:
    tree = tree_with(gates())
    assert attention_of(tree, 4, "", ("Gate", "Whatever")) == ("SE", {})
    assert set(tree.of_row(4)) == {"fc.0.weight", "fc.2.weight"}
    assert tree.of_row(4)["fc.2.weight"].shape == (16, 2)
    assert tree.renamed == {"model.4.fc.0": "model.4.l1", "model.4.fc.2": "model.4.l2"}


def test_all_copies_of_a_repeated_row_are_translated() -> None:
    tree = tree_with({**gates("0."), **gates("1.")})
    assert attention_of(tree, 4, "0.", ("SE",)) == ("SE", {})
    assert set(tree.of_row(4)) == {f"{n}.fc.{m}.weight" for n in (0, 1) for m in (0, 2)}


def test_tensors_decide_over_the_name_and_the_name_without_tensors() -> None:
    assert attention_of(tree_with(gates()), 4, "", ("CBAM",)) == ("SE", {})
    assert attention_of(tree_with({}), 4, "", ("Other", "SimAM")) == ("SimAM", {})
    assert attention_of(tree_with({}), 4, "", ("Other",)) == ("", {})


def test_gam_says_what_is_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    attention_of(tree_with({}), 4, "", ("GAM",))
    assert "assumes that it does" in capsys.readouterr().out


def test_a_graph_takes_the_arguments_of_its_state_dict() -> None:
    graph: dict[str, Any] = {**copy.deepcopy(GRAPH), "yaml_file": "tiny"}
    graph["backbone"][4] = [-1, 1, "SEAttention", [16]]
    checked = read_graph(graph)
    rows = checked.rows
    state = {f"model.{rows[4].key}.{key}": value for key, value in gates().items()}
    other = {"model.0.conv.weight": torch.zeros(1)}
    fitted, found = fit_graph(graph, checked, {**state, **other})
    assert fitted["backbone"][4] == [-1, 1, "SE", {"reduction": 8, "bias": False}]
    assert graph["backbone"][4] == [-1, 1, "SEAttention", [16]]
    assert under(found, "model.3_SE.").keys() == {"fc.0.weight", "fc.2.weight"}
    assert found["model.0.conv.weight"] is other["model.0.conv.weight"]
    assert len(found) == 3


def fitted(row: list[Any], state: dict[str, Tensor]) -> tuple[list[Any], dict[str, Tensor]]:
    """Row 4 of a graph, fitted to its tensors, and these with our keys."""
    graph: dict[str, Any] = {**copy.deepcopy(GRAPH), "yaml_file": "tiny"}
    graph["backbone"][4] = row
    checked = read_graph(graph)
    named = {f"model.{checked.rows[4].key}.{key}": value for key, value in state.items()}
    found, ours = fit_graph(graph, checked, named)
    backbone: Any = found["backbone"]
    return backbone[4], ours


def test_options_that_only_the_yaml_has_are_kept() -> None:
    state = build_attention("MHSA", 16).state_dict()
    row, _ = fitted([-1, 1, "MHSA", {"heads": 2}], state)
    assert row == [-1, 1, "MHSA", {"heads": 2, "pos_emb": False}]


def test_options_that_need_the_channels_are_read() -> None:
    state = build_attention("EMA", 16, factor=2).state_dict()
    row, _ = fitted([-1, 1, "EMA", []], state)
    assert row == [-1, 1, "EMA", {"factor": 2}]


def test_tensors_of_another_module_get_the_key_of_its_row() -> None:
    row, state = fitted([-1, 1, "CBAM", [16]], gates())
    assert row == [-1, 1, "SE", {"reduction": 8, "bias": False}]
    assert set(state) == {"model.3_SE.fc.0.weight", "model.3_SE.fc.2.weight"}


def test_a_row_of_an_unknown_class_is_known_by_its_tensors_or_refused() -> None:
    state = build_attention("CoordAttention", 16, reduction=2).state_dict()
    row, found = fitted([-1, 1, "MyGate", [16]], state)
    assert row == [-1, 1, "CoordAttention", {"reduction": 2}]
    assert "model.3_CoordAttention.conv1.weight" in found
    with pytest.raises(UserError, match=r"row 4: MyGate: is not a module .* --modules"):
        fitted([-1, 1, "MyGate", [16]], {"weight": torch.zeros(3, 5)})


def test_a_block_of_the_yaml_gets_the_place_of_the_keys() -> None:
    block = C3(16, 16).state_dict() | {f"se.{key}": one for key, one in gates().items()}
    row, found = fitted([-1, 1, "C3SE", [16]], block)
    settings = {"inside": "SE", "place": "output", "reduction": 8, "bias": False}
    assert row == [-1, 1, "C3", [16, settings]]
    assert "model.4.output_attention.fc.0.weight" in found
