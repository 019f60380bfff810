"""Blocks of YOLOv10 and YOLO26 against the original program, and a head without bins.

tests/golden/yolo26/blocks.npz has the program's outputs for GRAPH, in float64, for weights that are
drawn from their names; norms are calibrated by one pass in training mode.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.blocks.v8 import C2PSA, C3k2
from models.blocks.v10 import CIB, PSA
from models.graph.sites import insert
from models.losses import build_loss
from models.yolo import DetectionModel
from tests.models.fill import fill, image
from utils.errors import UserError
from utils.files import ROOT
from utils.hyperparameters import Hyperparameters

GOLDEN = np.load(ROOT / "tests" / "golden" / "yolo26" / "blocks.npz")
GRAPH: dict[str, Any] = {
    "nc": 3,
    "reg_max": 1,
    "yaml_file": "y.yaml",
    "backbone": [
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 1, "SCDown", [64, 3, 2]],
        [-1, 1, "C2fCIB", [64, True, True]],
        [-1, 1, "SCDown", [128, 3, 2]],
        [-1, 2, "C2fCIB", [128, True]],
        [-1, 1, "SCDown", [128, 3, 2]],
        [-1, 1, "SPPF", [128, 5, 3, True]],
        [-1, 1, "PSA", [128]],
        [-1, 1, "torch.nn.Identity", []],
        [-1, 1, "C3k2", [128, True, 0.5, True]],
    ],
    "head": [[[3, 5, 10], 1, "Detect", ["nc"]]],
}
TARGETS = torch.tensor(
    [
        [0, 0, 0.5, 0.5, 0.4, 0.6],
        [0, 1, 0.3, 0.2, 0.2, 0.4],
        [0, 2, 0.6, 0.6, 0.5, 0.3],
    ]
)  # image, class, centre x and y, width, height as shares of the image


def build() -> DetectionModel:
    return DetectionModel(copy.deepcopy(GRAPH))


def flat(raw: list[Tensor]) -> tuple[Tensor, ...]:
    """Distances and classes of all cells, as the original program joins them."""
    return torch.cat([level.flatten(2) for level in raw], 2).split((4, 3), 1)


def assert_golden(found: Tensor, key: str, limit: float = 1e-6) -> None:
    expected = GOLDEN[key]
    assert np.abs(found.detach().numpy() - expected).max() <= limit * np.abs(expected).max(), key


def test_keys_and_parameters_equal_upstreams() -> None:
    state = build().state_dict()
    keys = sorted([key, list(value.shape)] for key, value in state.items())
    assert keys == json.loads(str(GOLDEN["keys"]))
    assert sum(value.numel() for value in build().parameters()) == int(GOLDEN["params"])


@torch.no_grad()
def test_outputs_equal_upstreams() -> None:
    model = build().double()
    fill(model)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    x = image(7, 1, 3, 64, 96).double()
    for found, key in zip(flat(model.train()(x)), ("boxes", "scores"), strict=True):
        assert_golden(found, f"train_{key}")
    decoded, raw = model.eval()(x)
    for found, key in zip(flat(raw), ("boxes", "scores"), strict=True):
        assert_golden(found, f"raw_{key}")
    assert_golden(decoded.transpose(1, 2), "decoded")
    assert_golden(model.fuse()(x)[0].transpose(1, 2), "decoded")


def test_the_loss_without_bins_equals_upstreams() -> None:
    """Computed from the golden maps in float32, on both sides."""
    model, sizes = build(), [(8, 12), (4, 6), (2, 3)]
    maps = torch.cat([torch.from_numpy(GOLDEN[f"train_{part}"]) for part in ("boxes", "scores")], 1)
    parts = maps.split([rows * columns for rows, columns in sizes], 2)
    raw = [
        part.unflatten(2, size).requires_grad_() for part, size in zip(parts, sizes, strict=True)
    ]
    half, centre = TARGETS[:, 4:] / 2, TARGETS[:, 2:4]
    pixels = torch.cat((centre - half, centre + half), 1) * torch.tensor([96.0, 64, 96, 64])
    hyp = Hyperparameters(box=7.5, cls=0.5, dfl=1.5)
    loss = build_loss(model.spec, hyp, 64)
    total, terms = loss(raw, torch.cat((TARGETS[:, :2], pixels), 1), (64, 96))
    total.backward()
    assert loss.names == ("box", "cls", "l1")
    np.testing.assert_allclose(terms, GOLDEN["loss"], rtol=1e-5)
    gradients = flat([level.grad for level in raw if level.grad is not None])
    assert_golden(gradients[0], "grad_boxes", 1e-5)
    assert_golden(gradients[1], "grad_scores", 1e-5)


def test_a_head_without_bins_learns() -> None:
    torch.manual_seed(0)
    model, x = build().train(), image(7, 2, 3, 64, 64)
    loss = build_loss(model.spec, Hyperparameters(box=7.5), 64)
    targets = torch.tensor([[0.0, 1, 8, 8, 40, 56], [1, 0, 20, 4, 60, 30]])
    optimizer, found = torch.optim.Adam(model.parameters(), 2e-3), []
    for _ in range(25):
        total, terms = loss(model(x), targets, (64, 64))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(terms)
    assert float(found[-1][0]) < 0.7 * float(found[0][0])
    assert float(found[-1][2]) < 0.7 * float(found[0][2])


@torch.no_grad()
def test_psa_computes_what_c2psa_computes() -> None:
    ours, other = PSA(128, 128).eval(), C2PSA(128, 128).eval()
    other.load_state_dict(
        {
            key if key.startswith("cv") else f"m.0.{key}": value
            for key, value in ours.state_dict().items()
        }
    )
    x = torch.randn(2, 128, 5, 6)
    assert torch.equal(ours(x), other(x))
    with pytest.raises(ValueError, match="keeps the number of channels"):
        PSA(32, 64)


def test_cib_adds_its_input_where_it_can() -> None:
    assert CIB(8, 8).residual
    assert not CIB(8, 16).residual
    assert not CIB(8, 8, False).residual


def test_attention_goes_into_compact_inverted_blocks() -> None:
    graph = insert({**GRAPH, "scales": {"n": [1, 1, 1024]}}, ["SE@every C2fCIB"])
    inside = insert(GRAPH, ["SE@inside C2fCIB"])
    assert [row[2] for row in graph["backbone"]].count("SE") == 2
    keys = list(DetectionModel(inside).state_dict())
    assert "model.5.m.1.attention.fc.0.weight" in keys


def test_the_fourth_option_of_c3k2_is_attention_or_the_groups_of_older_rows() -> None:
    assert hasattr(C3k2(64, 64, 1, False, 0.5, True).m[0][1], "attn")  # type: ignore[index]
    old = C3k2(64, 64, 1, False, 0.5, 2, False)
    assert (old.m[0].cv2.conv.groups, old.m[0].residual) == (2, False)  # type: ignore[union-attr]


def test_a_row_of_psa_with_other_channels_is_refused() -> None:
    graph = copy.deepcopy(GRAPH)
    graph["backbone"][8] = [-1, 1, "PSA", [64]]
    with pytest.raises(UserError, match=r"row 8: PSA \[64\]: keeps the number of channels"):
        DetectionModel(graph)


@pytest.mark.parametrize("changes", [{"end2end": True}, {"head": "v10Detect"}])
def test_a_head_without_suppression_says_what_is_not_done(changes: dict[str, Any]) -> None:
    graph = {**GRAPH, "reg_max": 4, **changes}
    if "head" in changes:
        graph["head"] = [[[3, 5], 1, changes["head"], ["nc"]]]
        graph["backbone"] = GRAPH["backbone"][:6]  # without a C3k2, which makes Detect depth-wise
    model = DetectionModel(graph)
    (warning,) = [text for text in model.warnings if "one-to-one" in text]
    assert next(iter(changes.values())) is True or "v10Detect" in warning
    assert "its boxes pass suppression" in warning
    assert hasattr(model.head.cv3[0][0][0], "conv")  # type: ignore[union-attr, index]
    assert not any("one-to-one" in text for text in DetectionModel(GRAPH).warnings)
    assert DetectionModel({**GRAPH, "end2end": False}).warnings == DetectionModel(GRAPH).warnings
