"""IDetect adds before and multiplies after the convolution of each level."""

from __future__ import annotations

import pytest
import torch

from models.graph.load import load_graph
from models.heads.implicit import IDetect
from models.yolo import DetectionModel
from utils.errors import UserError


def test_a_level_is_the_convolution_of_the_sum_times_the_factor() -> None:
    head, x = IDetect(2, 3, [4, 6]), torch.randn(2, 6, 3, 5)
    added, factor = head.ia[1].get_parameter("implicit"), head.im[1].get_parameter("implicit")
    expected = head.m[1](x + added) * factor
    torch.testing.assert_close(head.predict(1, x), expected)
    assert abs(float(added.mean())) < 0.1
    assert abs(float(factor.mean()) - 1) < 0.1


def test_a_graph_trains_with_it_and_a_graph_without_anchors_refuses_it() -> None:
    content = load_graph("yolov5n.yaml")
    content["head"][-1][2] = "IDetect"
    model = DetectionModel(content, class_count=2).train()
    sum(level.square().mean() for level in model(torch.rand(2, 3, 64, 64))).backward()
    assert all(parameter.grad is not None for parameter in model.head.parameters())
    assert model.eval()(torch.rand(1, 3, 64, 64))[0].isfinite().all()
    content = load_graph("yolov8n.yaml")
    content["head"][-1][2] = "IDetect"
    with pytest.raises(UserError, match=r"IDetect .*not for a graph that has none; write Detect"):
        DetectionModel(content)
