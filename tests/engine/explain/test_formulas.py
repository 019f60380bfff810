"""The three formulas against values computed by hand or by a singular value decomposition."""

from __future__ import annotations

import torch

from engine.explain.formulas import FORMULAS, eigen_cam, grad_cam, layer_cam
from engine.explain.settings import METHODS

A = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])  # two channels of one row and two columns
G = torch.tensor([[[1.0, -1.0]], [[2.0, 4.0]]])


def test_layer_cam_weights_each_position_by_its_own_positive_gradient() -> None:
    # Position 0: 1 * 1 + 2 * 3 = 7. Position 1: 0 * 2 + 4 * -1 = -4, which relu drops.
    assert layer_cam(A, G).tolist() == [[7.0, 0.0]]


def test_grad_cam_weights_each_channel_by_its_mean_gradient() -> None:
    # The means are 0 and 3, so that position 0 has 9 and position 1 has -3.
    assert grad_cam(A, G).tolist() == [[9.0, 0.0]]


def test_eigen_cam_projects_on_the_first_singular_vector() -> None:
    maps = torch.rand(6, 4, 5, generator=torch.Generator().manual_seed(0))
    rows = maps.flatten(1).T
    left, values, _ = torch.linalg.svd(rows, full_matrices=False)
    wanted = (left[:, 0] * values[0]).view(4, 5)
    assert torch.allclose(eigen_cam(maps, maps), wanted * wanted.sum().sign(), atol=1e-5)


def test_every_method_of_the_flags_has_its_formula() -> None:
    assert FORMULAS.keys() == METHODS.keys()
