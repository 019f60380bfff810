"""What names in rows mean: each entry of the table builds and runs, and errors name their row."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import nn

from models.graph import layers
from models.graph.build import blame
from models.graph.entries import Layer
from models.graph.info import row_info
from models.graph.layers import JOIN_RULES, LAYERS, factor_of, is_join
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
    "nn.Conv2d": [16, 3, 1, 1],
    "RepNCSPELAN4": [16, 8, 8],
    "SPPELAN": [16, 8],
    "MobileNet_Block": [16, 64],
    "MobileNetV3": [16, 64],
    "MobileNetV3_InvertedResidual": [16, 64],
    "PatchEmbed": [16, 2],
    "ResXCSPB": [16, True, 2],
    "ResXCSPC": [16, True, 2],
    "MobileViTBlock": [16, 24, 1],
    "SwinStage": [16, 2, 2, 7],
    "SCDown": [16, 3, 2],
    "IFM": [[10, 6]],
    "InjectionMultiSum_Auto_pool": [16, [10, 6], 1],
    "PyramidPoolAgg": [16, 1],
    "TopBasicLayer": [16, [10, 6]],
}
WIDENING = {"space_to_depth": 64, "SPD": 64, "ReOrg": 64}  # channels that a row gives of 16
QUARTERS = ("conv_bn_relu_maxpool", "Conv_maxpool")  # two would leave no cell of the image
# That a join reads, where it is not two.
MAPS = {"ScalSeq": 3, "Zoom_cat": 3, "SimFusion_3in": 3, "SimFusion_4in": 4}


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
    return ARGUMENTS.get(name, [16] if LAYERS[name].rule in ("stack", "fuse to") else [])


SINGLE = [name for name, layer in LAYERS.items() if layer.rule not in (*JOIN_RULES, "head")]
JOINS = [name for name in LAYERS if is_join(name)]


@pytest.mark.parametrize("name", SINGLE)
def test_every_module_works_as_a_row(name: str) -> None:
    width = WIDENING.get(name, 16)
    repeats = 1 if width != 16 or name in QUARTERS else 2
    model = DetectionModel(graph_with([-1, repeats, name, arguments(name)])).eval()
    assert row_info(model.model[1]).width == width
    cells = (64 / model.head.strides[0]) ** 2  # Focus halves the map
    assert model(torch.zeros(1, 3, 64, 64))[0].shape == (1, 2 * cells, 7)


@pytest.mark.parametrize("name", JOINS)
def test_every_module_that_joins_maps_works_as_a_row(name: str) -> None:
    """The row reads maps of one size; its own test tries other sizes where it takes them."""
    rows = [[0, 1, "Conv", [16]] for _ in range(MAPS.get(name, 2))]
    sources = list(range(1, len(rows) + 1))
    model = DetectionModel(graph_with(*rows, [sources, 1, name, arguments(name)])).eval()
    assert model(torch.zeros(1, 3, 64, 64))[0].shape == (1, 128, 7)
    graph = read_graph(model.graph)
    assert graph.steps[-2].stride == 8


def test_sizes_of_maps_matter_unless_the_class_joins_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_join("Add", of_one_size=True)
    assert not is_join("Conv")
    monkeypatch.setattr(LAYERS["Add"].kind, "joins_sizes", True, raising=False)
    assert is_join("Add")
    assert not is_join("Add", of_one_size=True)


class Channelwise(nn.Module):
    """Doubles the channels of a "same" row, which gives no count of its own."""

    def __init__(self, inputs: int, outputs: int | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs or 2 * inputs, 1)
        self.out_channels = outputs or 2 * inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.conv(x)


class Reader(nn.Module):
    """Takes the list of channels and an unscaled, or by the other rule a scaled, count."""

    joins_sizes = True

    def __init__(self, channels: list[int], count: int) -> None:
        super().__init__()
        self.channels, self.out_channels = channels, count

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """A list of maps -> [B, count, H, W] of the second map's size."""
        return maps[1][:, :1].repeat(1, self.out_channels, 1, 1)


def with_entry(monkeypatch: pytest.MonkeyPatch, rule: Any, kind: Any, **options: Any) -> None:
    entry = Layer(kind, rule, **options)
    monkeypatch.setattr(layers, "LAYERS", MappingProxyType({**LAYERS, "New": entry}))


def test_a_same_row_takes_channels_and_says_how_many_it_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_entry(monkeypatch, "same", Channelwise)
    model = DetectionModel(graph_with([-1, 1, "New", []], [-1, 2, "New", [32]]))
    assert [row_info(row).width for row in model.model][1:3] == [32, 32]
    with pytest.raises(UserError, match=r"row 1: New \[\]: number 2: must be 1 .* 16 to 32 here"):
        DetectionModel(graph_with([-1, 2, "New", []]))


@pytest.mark.parametrize(("rule", "width"), [("fuse", 48), ("fuse to", 24)])
def test_a_fuse_row_takes_all_channels_and_may_follow_another_map(
    rule: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_entry(monkeypatch, rule, Reader, factor=lambda given: 1.0, follows=1)
    graph = graph_with([-1, 1, "Conv", [64, 3, 2]], [[0, -1], 1, "New", [48]])
    model = DetectionModel({**graph, "width_multiple": 0.5})
    assert model.model[2].channels == [8, 32]
    assert row_info(model.model[2]).width == width
    assert read_graph(model.graph).steps[2].stride == 16


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
