"""IDetect equals Detect whose convolutions have the learned values folded in."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.graph.load import load_graph
from models.heads.implicit import IDetect
from models.losses import build_loss
from models.yolo import DetectionModel
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters


def build(head: str) -> DetectionModel:
    graph = load_graph("models/yolov5n.yaml")
    graph["head"][-1][2] = head
    return DetectionModel(graph, class_count=3)


def test_the_learned_values_are_added_before_and_multiplied_behind() -> None:
    model, plain = build("IDetect").eval(), build("Detect").eval()
    head: Any = model.head
    assert isinstance(head, IDetect)
    plain.load_state_dict(
        {key: value for key, value in model.state_dict().items() if "implicit" not in key}
    )
    for conv, a, m in zip(plain.head.m, head.ia, head.im, strict=True):
        assert abs(float(a.implicit.mean().detach())) < 0.01
        assert abs(float(m.implicit.mean().detach()) - 1) < 0.02
        shift = conv.weight.data[:, :, 0, 0] @ a.implicit[0, :, 0, 0]
        factor = m.implicit[0, :, 0, 0]
        conv.bias.data = ((conv.bias + shift) * factor).detach()
        conv.weight.data = (conv.weight * factor.view(-1, 1, 1, 1)).detach()
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(images)[0], plain(images)[0], rtol=1e-4, atol=1e-4)


def test_a_graph_with_it_learns() -> None:
    model = build("IDetect").train()
    loss = build_loss(model.spec, Hyperparameters(), 64)
    targets = torch.tensor([[0.0, 1, 0.4, 0.4, 0.3, 0.3]])
    loss(model(torch.rand(2, 3, 64, 64)), targets, (64, 64))[0].backward()
    assert all(part.implicit.grad.abs().sum() > 0 for part in (*model.head.ia, *model.head.im))


def test_it_needs_anchors() -> None:
    graph = load_graph("models/yolov8n.yaml")
    graph["head"][-1][2] = "IDetect"
    with pytest.raises(UserError, match=r"IDetect .*: this head is not for a graph that has none"):
        DetectionModel(graph)
