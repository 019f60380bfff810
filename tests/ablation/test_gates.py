"""Factors, saturation and gradients of attention, on modules with known answers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ablation.gates import attention_of, describe_gate, measure_attention, ratios, record_ratios
from models.attention import build_attention
from models.yolo import DetectionModel
from tests.tiny import GRAPH
from utils.checkpoint import Checkpoint, save
from utils.config import Hyperparameters


def save_model(model: DetectionModel, path: Path, data: str) -> Path:
    """A best.pt as train.py leaves it, with this model's weights."""
    hyp = {name: value for name, value in vars(Hyperparameters()).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    save(
        Checkpoint(model.graph, dict(model.names), state, {"imgsz": 64, "data": data}, hyp, data),
        path,
    )
    return path


def with_attention(name: str, **arguments: Any) -> DetectionModel:
    graph: dict[str, Any] = copy.deepcopy(GRAPH)
    graph["backbone"][4] = [-1, 1, name, arguments] if name else [-1, 1, "nn.Identity", []]
    return DetectionModel(graph, names=["bright", "dark"])


def constant_se(value: float) -> DetectionModel:
    """SE whose last layer has one weight everywhere: 0 makes gates of 0.5, -1e4 closes them."""
    model = with_attention("SE")
    (module,) = attention_of(model).values()
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.constant_(last.weight, value)
    return model


def test_simam_is_a_gate_without_parameters(material: dict[str, Any], tmp_path: Path) -> None:
    found = measure_attention(
        save_model(with_attention("SimAM"), tmp_path / "best.pt", material["data"])
    )
    assert found is not None
    (gate,) = found.gates
    assert (gate.name, gate.kind, gate.alpha) == ("model.3_SimAM", "SimAM", None)
    assert 0.62 <= gate.mean <= 1
    assert 0 < gate.spread < 0.2
    assert gate.low == 0
    assert (found.gradient_share, found.parameter_share, gate.parameters) == (0, 0, 0)


def test_a_constant_gate_and_its_gradient(material: dict[str, Any], tmp_path: Path) -> None:
    model = constant_se(0.0)
    found = measure_attention(save_model(model, tmp_path / "best.pt", material["data"]))
    assert found is not None
    assert found.gates[0].mean == pytest.approx(0.5, abs=1e-3)
    assert found.gates[0].spread < 1e-3
    assert found.gates[0].saturation == 0
    # A level of the head gets half of the map, and the other what a layer makes of that.
    assert found.change is not None
    assert 0.2 < found.change < 0.8
    assert found.gates[0].parameters == sum(
        value.numel() for module in attention_of(model).values() for value in module.parameters()
    )
    assert 0 < found.gradient_share < 1
    own = sum(
        value.numel() for module in attention_of(model).values() for value in module.parameters()
    )
    assert found.parameter_share == pytest.approx(
        own / sum(value.numel() for value in model.parameters())
    )


def test_without_attention_there_is_nothing_to_measure(
    material: dict[str, Any], tmp_path: Path
) -> None:
    backbone: Any = GRAPH["backbone"]
    graph = {
        **GRAPH,
        "backbone": [row for row in backbone if row[2] != "SimAM"],
        "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
    }
    model = DetectionModel(graph, names=["bright", "dark"])
    assert measure_attention(save_model(model, tmp_path / "best.pt", material["data"])) is None


def test_the_alpha_of_an_identity_start_is_found(material: dict[str, Any], tmp_path: Path) -> None:
    found = measure_attention(
        save_model(with_attention("SE", init="identity"), tmp_path / "best.pt", material["data"])
    )
    assert found is not None
    assert found.gates[0].alpha == 0
    assert found.gates[0].mean == pytest.approx(1)
    assert found.change == 0


def known(*values: float) -> torch.Tensor:
    return torch.tensor(values).repeat(100)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((0.01, 0.5, 0.5, 0.99), 0.25, 0.25),
        ((1.02, 1.5, 1.98, 1.99), 0.25, 0.5),
        ((-0.5, 0.5, 0.7, 0.9), None, None),
        ((0.2, 3.0, 0.5, 0.5), None, None),
    ],
)
def test_saturation_by_the_gates_range(
    values: tuple[float, ...], low: float | None, high: float | None
) -> None:
    gate = describe_gate("row", nn.Identity(), known(*values))
    assert (gate.low, gate.high) == (low, high)
    assert gate.mean == pytest.approx(sum(values) / 4)


def test_ratios_skip_small_inputs() -> None:
    x = torch.tensor([1.0, -2.0, 1e-6, 1.0])
    assert ratios(x, torch.tensor([0.5, -1.0, 7.0, 0.25])).tolist() == [0.5, 0.5, 0.25]
    assert len(ratios(x, x[:2])) == 0
    assert len(ratios(torch.ones(1, 8, 200, 200), torch.ones(1, 8, 200, 200))) == 20_000


def test_hooks_are_removed() -> None:
    module = build_attention("SE", 8)
    with record_ratios({"se": module}) as seen:
        module(torch.ones(1, 8, 4, 4))
    assert len(seen["se"]) == 128
    assert not module._forward_hooks


def test_attention_within_rows_is_found() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 1), build_attention("CBAM", 8)))
    assert list(attention_of(model)) == ["0.1"]
