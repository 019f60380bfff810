"""Every tensor of a foreign network finds its place, or is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.weights.load import load_model
from models.weights.upstream.fit import fit_state
from models.weights.upstream.graph import read_foreign_graph
from models.yolo import DetectionModel
from tests.models.weights.upstream.test_graph import tree_of
from tests.pickles import Thing, saved
from tests.tiny import FREE_GRAPH, GRAPH
from tests.upstream_files import content_of
from utils.errors import UserError


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("extra.weight", torch.zeros(2, 3), r"extra\.weight \[2, 3\]: belongs to no row"),
        ("model.0.conv.weight", torch.zeros(1), r"row 0: Conv: conv\.weight \[1\]: but the graph"),
        ("model.0.gamma", torch.zeros(1), r"row 0: Conv: gamma \[1\]: has no place"),
        (
            "model.0.bn.bias",
            torch.zeros(8).long(),
            r"bn\.bias: is torch\.int64, where torch\.float",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(key: str, value: torch.Tensor, message: str) -> None:
    tree = tree_of(GRAPH)
    graph = read_graph(read_foreign_graph(tree))
    tree.state[key] = value
    tree._by_row.clear()
    with pytest.raises(UserError, match=message):
        fit_state(graph, tree)


def test_values_are_copies() -> None:
    tree = tree_of(GRAPH)
    state = fit_state(read_graph(read_foreign_graph(tree)), tree)
    state["model.0.conv.weight"].zero_()
    assert tree.state["model.0.conv.weight"].any()


def fused_like_ultralytics(content: dict[str, Any]) -> dict[str, Any]:
    """A network's content after .fuse() there: a convolution with a bias for each with its norm.

    The two convolutions of a RepVGGDW become one.
    """

    def fold(thing: Thing) -> tuple[Tensor, Tensor]:
        conv, norm = (thing.state["_modules"].pop(name) for name in ("conv", "bn"))
        values = {**norm.state["_parameters"], **norm.state["_buffers"]}
        scale = values["weight"].float() / (values["running_var"].float() + 1e-3).sqrt()
        kernel = conv.state["_parameters"]["weight"].float() * scale.view(-1, 1, 1, 1)
        shift = values["bias"].float() - values["running_mean"].float() * scale
        conv.state["_parameters"] = {"weight": kernel, "bias": shift}
        thing.state["_modules"] = {"conv": conv, **thing.state["_modules"]}
        return kernel, shift

    def visit(thing: Thing) -> None:
        parts = thing.state.get("_modules", {})
        for part in parts.values():
            visit(part)
        if {"conv", "bn"} <= parts.keys():
            fold(thing)
        if thing.kind.name == "RepVGGDW":
            large, small = (
                parts[name].state["_modules"]["conv"].state for name in ("conv", "conv1")
            )
            kernel = large["_parameters"]["weight"] + F.pad(small["_parameters"]["weight"], [2] * 4)
            shift = large["_parameters"]["bias"] + small["_parameters"]["bias"]
            bare = parts["conv"].state["_modules"]["conv"]
            bare.state["_parameters"] = {"weight": kernel, "bias": shift}
            del parts["conv1"]
            parts["conv"] = bare

    visit(content["model"])
    return content


LARGE_KERNEL = {  # YOLOv10's block with a RepVGGDW
    **FREE_GRAPH,
    "backbone": [
        [-1, 1, "C2fCIB", [64, True, True]] if row[2] == "C2f" else row
        for row in FREE_GRAPH["backbone"]
    ],
}


@pytest.mark.parametrize("name", ["yolov5n.yaml", "yolov8n.yaml", "yolo12n.yaml", "YOLOv10's"])
def test_a_fused_checkpoint_is_read_and_computes_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = load_graph(name) if name.endswith(".yaml") else LARGE_KERNEL
    model = DetectionModel(graph, class_count=2)
    disturb_norms(model)
    model.half().float()  # as the file has it
    path = tmp_path / "fused.pt"
    path.write_bytes(saved(fused_like_ultralytics(content_of(model))))
    found = load_model(path, fuse=False)
    assert "was fused for inference" in capsys.readouterr().out
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected, boxes = model.double().eval()(image)[0], found.double()(image)[0]
    torch.testing.assert_close(boxes, expected, rtol=1e-5, atol=1e-5)


def disturb_norms(model: DetectionModel) -> None:
    """Give batch norms statistics as after training."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
