"""The first layer that makes a non-finite value is the one that is named."""

from __future__ import annotations

import torch
from torch import nn

from engine.training.diagnose import explain_non_finite, first_bad_gradient, first_bad_layer


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 2, 1))


def test_names_images_weights_layers_or_the_loss() -> None:
    images = torch.ones(2, 3, 4, 4)
    assert explain_non_finite(net(), images * float("nan")) == "the images themselves"
    model = net()
    model[1].running_mean[2] = float("nan")
    assert explain_non_finite(model, images) == "weight 1.running_mean"
    model = net()
    model[3].weight.data.fill_(3e38)
    model[3].bias.data.fill_(3e38)
    model[1].bias.data.fill_(100.0)
    assert first_bad_layer(model, images) == "3"
    assert explain_non_finite(net(), images).startswith("the loss")


def test_names_the_gradient() -> None:
    model = net()
    model(torch.ones(2, 3, 4, 4)).sum().backward()
    assert first_bad_gradient(model) is None
    model[1].weight.grad[0] = float("inf")
    assert first_bad_gradient(model) == "1.weight"
