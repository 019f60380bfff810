"""Helpers against figures by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models.forks import functions


def test_numbers() -> None:
    assert functions.make_divisible(65, 8) == 72
    assert functions.make_divisible(64, torch.tensor([8, 16])) == 64
    assert functions.bias_init_with_prob(0.01) == pytest.approx(math.log(1 / 99))


def test_centres_and_boxes() -> None:
    maps = [torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 1)]
    points, strides = functions.make_anchors(maps, [8, 16])
    assert points.tolist() == [[0.5, 0.5], [1.5, 0.5], [0.5, 0.5]]
    assert strides.tolist() == [[8], [8], [16]]
    sides = torch.tensor([[0.5, 0.5, 1.5, 0.5]])
    corners = functions.dist2bbox(sides, points[:1], xywh=False)
    assert corners.tolist() == [[0, 0, 2, 1]]
    assert functions.dist2bbox(sides, points[:1]).tolist() == [[1, 0.5, 2, 1]]


def test_a_fused_convolution_gives_the_same() -> None:
    conv, bn, x = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3).eval(), torch.rand(1, 2, 4, 4)
    bn.running_mean = torch.tensor([1.0, 2, 3])
    expected = bn(conv(x))
    torch.testing.assert_close(functions.fuse_conv_and_bn(conv, bn)(x), expected)


def test_constants_of_norms() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2))
    functions.initialize_weights(model)
    assert (model[0].eps, model[0].momentum) == (1e-3, 0.03)


def test_the_rest() -> None:
    assert functions.time_sync() <= functions.time_sync()
    assert functions.colorstr("red", "bold", "text") == "text"
    assert functions.check_version("1.0", "2.0", hard=True)
