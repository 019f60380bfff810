"""YOLO12's graph against the original program: keys, sizes, rows, outputs.

tests/golden/yolo12 has its figures: state-dict keys as a SHA-256 of JSON, and outputs in float64
for weights that are drawn from their names. Norms are calibrated by one pass in training mode.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.graph.load import load_graph
from models.losses import build_loss
from models.yolo import DetectionModel
from tests.models.fill import fill, image
from utils.errors import UserError
from utils.files import ROOT
from utils.hyperparameters import Hyperparameters

GOLDEN = ROOT / "tests" / "golden" / "yolo12"
SIZES: dict[str, Any] = json.loads((GOLDEN / "sizes.json").read_text())["models"]


def on_meta(graph: dict[str, Any]) -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(graph)


def figures(model: nn.Module) -> tuple[int, int]:
    """Modules without children, and parameters."""
    leaves = sum(not list(module.children()) for module in model.modules())
    return leaves, sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", SIZES)
def test_keys_rows_and_sizes_equal_upstreams(name: str) -> None:
    golden, model = SIZES[name], on_meta(load_graph(f"{name}.yaml"))
    keys = json.dumps([[key, list(value.shape)] for key, value in model.state_dict().items()])
    assert hashlib.sha256(keys.encode()).hexdigest() == golden["keys_sha256"]
    rows = [[row.i, row.f, row.np, row.type.rpartition(".")[2]] for row in model.model]
    rows[-1][-1] = rows[-1][-1].removesuffix("V8")
    assert rows == golden["rows"]
    assert (model.save, list(model.head.strides)) == (golden["save"], golden["stride"])
    assert figures(model) == (golden["layers"], golden["params"])
    assert figures(model.fuse()) == (golden["fused_layers"], golden["fused_params"])
    assert model.warnings == []


def check(raw: list[Tensor], golden: Any, stem: str, step: int) -> None:
    """Within 1e-6 of the largest value: the golden program computed in float64."""
    maps = torch.cat([level.flatten(2) for level in raw], dim=2).split((64, 80), dim=1)
    for found, part in zip(maps, ("boxes", "scores"), strict=True):
        expected = golden[f"{stem}_{part}"].ravel()
        values = found.numpy().ravel()[::step]
        assert np.abs(values - expected).max() <= 1e-6 * np.abs(expected).max(), part


@pytest.mark.parametrize("name", ["yolo12n", pytest.param("yolo12l", marks=pytest.mark.slow)])
@torch.no_grad()
def test_outputs_equal_upstreams(name: str) -> None:
    """Of scale l, whose blocks add their input, every seventh value is stored."""
    golden, model = np.load(GOLDEN / "forward.npz"), DetectionModel(load_graph(f"{name}.yaml"))
    step = 1 if name == "yolo12n" else 7
    fill(model.double())
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    x = image(7, 1, 3, 64, 96).double()
    check(model.train()(x), golden, f"{name}/train", step)
    decoded, raw = model.eval()(x)
    check(raw, golden, f"{name}/raw", step)
    for found in (decoded, model.fuse()(x)[0]):
        values = found.transpose(1, 2).numpy().ravel()[::step]
        np.testing.assert_allclose(values, golden[f"{name}/decoded"].ravel(), rtol=1e-4, atol=1e-4)


def test_a_row_may_say_what_the_large_scales_else_add() -> None:
    graph = load_graph("yolo12l.yaml")
    graph["backbone"][6] = [-1, 4, "A2C2f", [512, True, 4, False]]
    state = on_meta(graph).state_dict()
    assert "model.6.gamma" not in state
    assert "model.8.gamma" in state
    assert state["model.6.m.0.0.mlp.0.conv.weight"].shape[0] == int(256 * 1.2)


def test_a_block_that_adds_its_input_keeps_the_channels() -> None:
    graph = load_graph("yolo12l.yaml")
    graph["backbone"][6] = [-1, 4, "A2C2f", [256, True, 4]]
    with pytest.raises(UserError, match=r"row 6: A2C2f .*adds its input, but gets 512"):
        on_meta(graph)


def test_every_weight_learns() -> None:
    """At a sixteenth of the width, with a row of l, whose gamma learns.

    The head is left out: levels without an object have no gradient in their box branch.
    """
    graph = {**load_graph("yolo12n.yaml"), "nc": 2, "scales": {"n": [0.5, 0.0625, 1024]}}
    graph["backbone"][8] = [-1, 1, "A2C2f", [1024, True, 1, True]]
    model = DetectionModel(graph).train()
    loss = build_loss(model.spec, Hyperparameters(box=7.5), 64)
    targets = torch.tensor([[0.0, 1, 8, 8, 40, 56], [1, 0, 20, 4, 60, 30]])
    loss(model(image(7, 2, 3, 64, 64)), targets, (64, 64))[0].backward()
    still = [
        key
        for key, value in model.named_parameters()
        if not key.startswith("model.21.") and (value.grad is None or not value.grad.any())
    ]
    assert not still
