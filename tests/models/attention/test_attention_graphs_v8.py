"""YOLOv8 with attention modules: shipped graphs at all scales, and the tutorial's graph, right and
broken.
"""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from models.graph.load import load_graph
from models.losses import build_loss
from models.yolo import DetectionModel
from utils.config import Hyperparameters
from utils.files import ROOT
from utils.nms import non_max_suppression
from utils.seeds import stream

# A new module needs no shipped graph, so the files are listed and not the registry.
SHIPPED = sorted(
    path.stem.removeprefix("yolov8_") for path in (ROOT / "models").glob("yolov8_*.yaml")
)
SCALES = "nsmlx"


def keys(model: DetectionModel) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in model.state_dict().items()}


@functools.cache
def plain_keys(scale: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return keys(DetectionModel(load_graph(f"yolov8{scale}.yaml")))


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        (name, scale)
        if scale == "n" or (name == "CBAM" and scale == "x")
        else pytest.param(name, scale, marks=pytest.mark.slow)
        for name in SHIPPED
        for scale in SCALES
    ],
)
def test_builds_at_all_scales_and_keeps_every_base_tensor(name: str, scale: str) -> None:
    graph, plain = load_graph(f"yolov8{scale}_{name}.yaml"), plain_keys(scale)
    assert graph["scale"] == scale
    with torch.device("meta"):
        model = DetectionModel(graph)
    assert model.warnings == []
    own = keys(model)
    assert {key: own.get(key) for key in plain} == plain


def train_and_detect(model: DetectionModel) -> None:
    """Two steps of SGD on one image with two boxes, then detections as detect.py makes them."""
    x = torch.from_numpy(stream(0, "test", "image").random((2, 3, 64, 64), dtype="float32"))
    targets = torch.tensor([[0, 1, 5.0, 5, 40, 40], [1, 0, 20.0, 10, 60, 50]])
    loss = build_loss(model.spec, Hyperparameters(box=7.5, cls=0.5), 64)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    totals = []
    for _ in range(2):
        optimizer.zero_grad()
        total, _ = loss(model.train()(x), targets, (64, 64))
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert all(0 < total < float("inf") for total in totals)
    assert totals[0] != totals[1]
    with torch.no_grad():
        decoded, _ = model.eval().fuse()(x)
    assert decoded.shape == (2, 84, 4 + model.spec.class_count)
    assert all(torch.isfinite(rows).all() for rows in non_max_suppression(decoded, model.family))


@pytest.mark.parametrize("name", SHIPPED)
def test_two_steps_and_detections(name: str) -> None:
    """At half the width of the smallest scale."""
    narrow = {"scales": {"n": [0.33, 0.125, 1024]}}
    train_and_detect(
        DetectionModel({**load_graph(f"yolov8n_{name}.yaml"), **narrow}, class_count=2)
    )


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", SHIPPED)
def test_two_steps_and_detections_at_all_scales(name: str, scale: str) -> None:
    train_and_detect(DetectionModel(load_graph(f"yolov8_{name}.yaml", scale), class_count=2))


def test_the_tutorials_broken_graph_is_warned_of() -> None:
    """Its head keeps the numbers of the graph without the inserted row, so that each skip reads one
    row too early.
    """
    graph = copy.deepcopy(load_graph("yolov8n_DoubleAttention.yaml"))
    assert graph["backbone"][3][2] == "DoubleAttention"
    assert DetectionModel(graph).warnings == []
    for row in graph["head"]:
        if isinstance(row[0], list):
            row[0] = [source - 1 if source > 3 else source for source in row[0]]
    warned = "\n".join(DetectionModel(graph).warnings)
    for read, meant in ((6, 7), (4, 5), (12, 13), (9, 10), (15, 16), (18, 19), (21, 22)):
        assert f"reads row {read}, " in warned
        assert f"{meant} was probably meant" in warned
