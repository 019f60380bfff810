"""The decoupled anchor head gives each anchor its own box, objectness and classes, and trains."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from models.graph.load import load_graph
from models.heads.decoupled import DecoupledDetect
from models.losses import build_loss
from models.yolo import DetectionModel
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters


def build() -> DetectionModel:
    graph = load_graph("models/yolov5n.yaml")
    graph["head"][-1][2] = "Decoupled_Detect"
    return DetectionModel(graph, class_count=3)


def test_every_anchor_has_its_own_values() -> None:
    head: Any = DecoupledDetect(3, 2, [4]).train()
    x = torch.randn(2, 4, 5, 6)
    (raw,) = head([x])  # B na ny nx 8
    level = head.m[0]
    merged = level.merge(x)
    boxes, classes = level.reg_convs(merged), level.cls_convs(merged)
    for anchor in (0, 1):
        found = raw[:, anchor].permute(0, 3, 1, 2)
        box = level.reg_preds(boxes)[:, 4 * anchor : 4 * anchor + 4]
        score = level.obj_preds(boxes)[:, anchor : anchor + 1]
        kinds = level.cls_preds(classes)[:, 3 * anchor : 3 * anchor + 3]
        expected = torch.cat((box, score, kinds), 1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_prior_is_that_of_detect() -> None:
    torch.manual_seed(0)
    model = build()
    for level, stride in zip(model.head.m, (8, 16, 32), strict=True):
        objects, classes = level.obj_preds.bias, level.cls_preds.bias
        bound = 1 / 16  # of PyTorch's first biases for 256 inputs
        assert (objects - math.log(8 / (640 / stride) ** 2)).abs().max() <= bound
        assert (classes - math.log(0.6 / 2.00001)).abs().max() <= bound
        assert level.reg_preds.bias.abs().max() <= bound


def test_a_graph_with_it_learns() -> None:
    model = build().train()
    loss = build_loss(model.spec, Hyperparameters(), 64)
    targets = torch.tensor([[0.0, 1, 10, 10, 40, 50]])
    loss(model(torch.rand(2, 3, 64, 64)), targets, (64, 64))[0].backward()
    assert all(value.grad.abs().sum() > 0 for value in model.head.m.parameters())
    assert model.eval()(torch.rand(1, 3, 64, 96))[0].shape == (1, 3 * (96 + 24 + 6), 8)


def test_it_needs_anchors() -> None:
    graph = load_graph("models/yolov8n.yaml")
    graph["head"][-1][2] = "Decoupled_Detect"
    with pytest.raises(UserError, match="this head is not for a graph that has none"):
        DetectionModel(graph)
