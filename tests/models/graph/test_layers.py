"""What names in rows mean: each entry of the table builds and runs, and errors name their row."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from models.graph.build import blame
from models.graph.info import row_info
from models.graph.layers import LAYERS, factor_of
from models.graph.read import read_graph
from models.graph.stages import level_of
from models.yolo import DetectionModel
from utils.errors import UserError

ARGUMENTS: dict[str, list[Any]] = {
    "nn.Upsample": [None, 1, "nearest"],
    "nn.MaxPool2d": [3, 1, 1],
    "nn.AvgPool2d": [3, 1, 1],
    "nn.ZeroPad2d": [0],
    "nn.ReflectionPad2d": [0],
    "Contract": [1],
    "Expand": [1],
    "nn.ConvTranspose2d": [16, 3, 1, 1],
    "SCDown": [16, 3, 2],
}


def graph_with(*rows: list[Any]) -> dict[str, Any]:
    head = [[-1, 1, "Conv", [16]], [[-1], 1, "Detect", ["nc", "anchors"]]]
    top: dict[str, Any] = {
        "nc": 2,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": 2,
        "yaml_file": "g.yaml",
    }
    return {**top, "backbone": [[-1, 1, "Conv", [16, 3, 8]], *rows], "head": head}


def arguments(name: str) -> list[Any]:
    return ARGUMENTS.get(name, [16] if LAYERS[name].rule == "stack" else [])


@pytest.mark.parametrize(
    "name", [name for name, layer in LAYERS.items() if layer.rule in ("stack", "keep", "norm")]
)
def test_every_module_works_as_a_row(name: str) -> None:
    model = DetectionModel(graph_with([-1, 2, name, arguments(name)])).eval()
    assert row_info(model.model[1]).width == 16
    cells = (64 / model.head.strides[0]) ** 2  # Focus halves the map
    assert model(torch.zeros(1, 3, 64, 64))[0].shape == (1, 2 * cells, 7)


def test_contract_and_expand_change_channels() -> None:
    model = DetectionModel(graph_with([-1, 1, "Contract", [2]], [-1, 1, "Expand", []]))
    assert [info.width for info in map(row_info, model.model)][:3] == [16, 64, 16]


def test_repeats_go_inside_or_around() -> None:
    model = DetectionModel(graph_with([-1, 3, "C3", [16]], [-1, 3, "Conv", [16]]))
    keys = list(model.state_dict())
    assert "model.1.m.2.cv1.conv.weight" in keys
    assert "model.2.2.conv.weight" in keys


def test_an_activation_as_argument() -> None:
    model = DetectionModel(graph_with([-1, 1, "Conv", [16, 3, 1, "None", 1, 1, "nn.ReLU()"]]))
    assert isinstance(model.model[1].act, torch.nn.ReLU)


def test_blame_names_file_and_row_once() -> None:
    graph = read_graph(graph_with())
    with (
        pytest.raises(UserError, match=r"^g.yaml: row 0: Conv \[16, 3, 8\]: too big; check"),
        blame(graph, graph.rows[0]),
    ):
        raise ValueError("too big")
    with (
        pytest.raises(UserError, match=r"^g.yaml: row 0: Conv \[16, 3, 8\]: no$"),
        blame(graph, graph.rows[0]),
    ):
        raise UserError("no")


@pytest.mark.parametrize(
    ("module", "arguments", "factor"),
    [
        ("Conv", [64, 3, 2], 2), ("Conv", [64], 1), ("Conv", [64, 3, "2"], 2),
        ("Conv", [64, 3, [2, 2]], 2),
        ("Focus", [64, 3], 2), ("Focus", [64, 3, 2], 4), ("GhostBottleneck", [64, 3, 2], 2),
        ("GhostBottleneck", [64, 3, 3], 1), ("nn.MaxPool2d", [2], 2),
        ("nn.MaxPool2d", [3, "None"], 3),
        ("nn.MaxPool2d", [2, 1, 0], 1), ("nn.Upsample", ["None", 2, "nearest"], 0.5),
        ("torch.nn.Upsample", [None, 4], 0.25),
        ("nn.ConvTranspose2d", [64, 4, 2, 1], 0.5), ("Contract", [], 2), ("Contract", [4], 4),
        ("Expand", [2], 0.5),
        ("C3", [64, False], 1), ("ACmix", {"stride": 2}, 2), ("SimAM", {}, 1),
        ("nn.ZeroPad2d", [[0, 1, 0, 1]], 1),
    ],
)  # fmt: skip
def test_factors(module: str, arguments: Any, factor: float) -> None:
    assert factor_of(module, arguments) == factor


@pytest.mark.parametrize(
    ("module", "arguments", "repeats"),
    [
        ("Conv", [64, 3, [2, 1]], 1), ("Conv", [64, 3, "x"], 1), ("Conv", [64, 3, 0], 1),
        ("nn.Upsample", [32], 1),
        ("nn.MaxPool2d", [], 1), ("Conv", [64, 3, 60000], 2000), ("Conv", [8, 1, 1e-300], 9),
        ("ACmix", {"stride": "?"}, 1),
    ],
)  # fmt: skip
def test_what_rows_do_not_say_is_not_guessed(module: str, arguments: Any, repeats: int) -> None:
    assert math.isnan(factor_of(module, arguments, repeats))
    assert level_of(factor_of(module, arguments, repeats)) == ""
