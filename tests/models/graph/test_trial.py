"""Trial runs of single blocks: LAYERS says what they do, and a new block needs one entry."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.common import Bottleneck, Conv
from models.graph import layers
from models.graph.entries import Layer
from models.graph.layers import LAYERS, factor_of, is_join
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.sites import find_sites, insert, sites_table
from models.graph.trial import has_bottlenecks, stride_factor
from models.yolo import DetectionModel
from tests.models.graph.test_layers import SINGLE, arguments, graph_with
from utils.errors import UserError

CASES = [
    *(
        (name, arguments(name))
        for name, layer in LAYERS.items()
        # TopBasicLayer's own arguments say how many channels it reads, so no trial suits it.
        if layer.factor and not is_join(name) and name != "TopBasicLayer"
    ),
    *(
        (name, [16, 3, 2])
        for name in ("Conv", "DWConv", "GhostConv", "GhostBottleneck", "CrossConv", "Focus")
    ),
    ("Conv", [16, 3, 4]),
    ("GhostBottleneck", [16, 3, 3]),
    ("MixConv2d", [16, [3, 5], 2]),
    ("nn.MaxPool2d", [2]),
    ("nn.MaxPool2d", [3, "None"]),
    ("nn.MaxPool2d", [2, 1, 0]),
    ("nn.AvgPool2d", [3, 2, 1]),
    ("nn.Upsample", ["None", 2, "nearest"]),
    ("nn.Conv2d", [16, 3, 2, 1]),
    ("nn.Conv2d", [16, 1, [2, 2], 0]),
    ("nn.ConvTranspose2d", [16, 4, 2, 1]),
    ("DWConvTranspose2d", [16, 4, 2, 1]),
    ("Contract", [4]),
    ("Expand", [2]),
    ("nn.ZeroPad2d", [[0, 1, 0, 1]]),
]
HAVING_BOTTLENECKS = {
    "Bottleneck", "GhostBottleneck", "CrossConv", "C3", "C3x", "C3Ghost", "BottleneckCSP", "C2",
    "C2f", "C3k", "C3k2", "C2fCIB",
}  # fmt: skip
WITHOUT_BOTTLENECKS = {
    "Conv", "DWConv", "SPPF", "SPP", "C3SPP", "C3TR", "C2PSA", "PSA", "A2C2f", "GhostConv",
    "MixConv2d", "Focus", "SCDown",
    "nn.Upsample", "nn.MaxPool2d", "nn.BatchNorm2d", "nn.ConvTranspose2d", "Contract", "Expand",
}  # fmt: skip


class RepBlock(nn.Module):
    """A convolution of stride 2, then bottlenecks."""

    def __init__(self, inputs: int, outputs: int, repeats: int = 1) -> None:
        super().__init__()
        self.cv1 = Conv(inputs, outputs, 3, 2)
        self.m = nn.Sequential(*(Bottleneck(outputs, outputs) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2, W/2]."""
        return self.m(self.cv1(x))


class Stubborn(RepBlock):
    """A block that builds and does not run on any map of another side than 32."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, 32, 32] -> [B, outputs, 16, 16]."""
        if x.shape[2] != 32:
            raise ValueError("takes maps of 32 x 32 cells only")
        return super().forward(x)


def add(patch: pytest.MonkeyPatch, kind: type[nn.Module], **options: Any) -> None:
    """Give the class its entry in LAYERS, which is all that a new block needs."""
    entry = {kind.__name__: Layer(kind, "stack", **options)}
    patch.setattr(layers, "LAYERS", MappingProxyType({**LAYERS, **entry}))


def yolov5n_with(module: str, row: int = 3) -> dict[str, Any]:
    """yolov5n.yaml with the convolution at stride 8 replaced."""
    content = load_graph("models/yolov5n.yaml")
    content["backbone"][row] = [-1, 3, module, [256]]
    return content


def names_of(content: dict[str, Any]) -> dict[str, tuple[int, float]]:
    return {site.name: (site.row, site.stride) for site in find_sites(content)}


@pytest.mark.parametrize(("name", "given"), CASES)
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_declared_factor_is_what_the_block_does(
    name: str, given: list[Any], repeats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same row, once by its entry and once by a trial run of an entry without a factor."""
    graph = read_graph(graph_with([-1, repeats, name, given]))
    declared = factor_of(name, given, repeats)
    entry = LAYERS[name]
    bare = Layer(entry.kind, entry.rule, entry.repeats, entry.gain)
    monkeypatch.setattr(layers, "LAYERS", {**LAYERS, name: bare})
    assert math.isnan(factor_of(name, given, repeats))
    assert stride_factor(graph, graph.rows[1]) == declared


def test_blocks_with_bottlenecks_are_known() -> None:
    rows = {name: graph_with([-1, 1, name, arguments(name)]) for name in SINGLE}
    graphs = {name: read_graph(content) for name, content in rows.items()}
    found = {name for name, graph in graphs.items() if has_bottlenecks(graph, graph.rows[1])}
    assert found >= HAVING_BOTTLENECKS
    assert found.isdisjoint(WITHOUT_BOTTLENECKS)


def test_a_block_that_halves_the_map_gives_places_their_right_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A class and an entry: every place is where yolov5n's own graph has it."""
    add(monkeypatch, RepBlock, repeats=True)
    content = yolov5n_with("RepBlock")
    plain, found = names_of(load_graph("models/yolov5n.yaml")), names_of(content)
    assert found["inside RepBlock"] == found["every RepBlock"] == (3, 8)
    stages = [name for name in plain if " " not in name]
    assert {name: found[name] for name in stages} == {name: plain[name] for name in stages}
    assert found["backbone.P5"] == (9, 32)
    sizes = DetectionModel(content).map_sizes
    assert [256 / height for height, _ in sizes] == [
        step.stride for step in read_graph(content).steps[:-1]
    ]


def test_attention_goes_to_the_right_map_and_into_the_new_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(monkeypatch, RepBlock, repeats=True)
    content = insert(yolov5n_with("RepBlock"), ["SE@backbone.P4", "SimAM@inside RepBlock"])
    rows = [*content["backbone"], *content["head"]]
    assert rows[7][2] == "SE"
    assert rows[3][3] == [256, {"inside": "SimAM"}]
    model = DetectionModel(content).eval()
    assert model.model[3].m[0].attention.__class__.__name__ == "SimAM"
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_a_name_in_from_follows_the_new_block(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, RepBlock, repeats=True)
    content = yolov5n_with("RepBlock")
    content["head"][2] = [[-1, "backbone.P4"], 1, "Concat", [1]]
    assert read_graph(content).rows[12].inputs == (11, 6)


def test_repeats_around_a_block_halve_the_map_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, RepBlock)
    content = graph_with([-1, 2, "RepBlock", [16]])
    assert read_graph(content).steps[1].stride == 32
    assert DetectionModel(content).head.strides == (32,)


def test_a_block_that_cannot_be_tried_out_gives_no_wrong_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing behind it has a stride, so nothing behind it is called P3, P4 or P5."""
    add(monkeypatch, Stubborn, repeats=True)
    found = names_of(yolov5n_with("Stubborn"))
    assert math.isnan(found["every Stubborn"][1])
    assert [name for name in found if " " not in name] == [
        "backbone.P1", "backbone.P2", "backbone.sppf",
    ]  # fmt: skip
    assert "nan" in sites_table(yolov5n_with("Stubborn")).splitlines()[4]
    with pytest.raises(UserError, match=r"no place 'backbone.P4'"):
        insert(yolov5n_with("Stubborn"), "SE@backbone.P4")


def test_a_name_that_nothing_has_gives_no_stride() -> None:
    assert math.isnan(factor_of("Unknown", [64]))
    steps = read_graph(yolov5n_with("Unknown")).steps
    assert [math.isnan(step.stride) for step in steps] == [False] * 3 + [True] * 22


@pytest.mark.parametrize(("given", "factor"), [([16, 16], 1), ({"stride": 2}, 2), ([], 1)])
def test_attention_that_may_have_a_stride(given: Any, factor: int) -> None:
    graph = read_graph(graph_with([-1, 1, "ACmix", given]))
    assert stride_factor(graph, graph.rows[1]) == factor
    assert graph.steps[1].stride == 8 * factor
