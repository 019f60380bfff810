"""Formulas of class activation maps: from a row's output and its gradient to a map of weights.

- LayerCAM: Jiang, Zhang, Hou, Cheng and Wei, "LayerCAM: Exploring Hierarchical Class Activation
  Maps for Localization", IEEE TIP 2021, equations 6 and 7.
- Grad-CAM: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
  Localization", ICCV 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2.
- EigenCAM: Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN
  2020, https://arxiv.org/abs/2008.00299. It reads no gradient, so it is the same for all classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

Formula = Callable[[Tensor, Tensor], Tensor]


def layer_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Each position's own weights: relu(sum over channels of relu(gradient) * activation).

    [C, H, W] and [C, H, W] -> [H, W], not negative.
    """
    return (gradient.relu() * activation).sum(0).relu()


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """One weight for a channel, the mean of its gradient: relu(sum of weight * activation).

    [C, H, W] and [C, H, W] -> [H, W], not negative.
    """
    return (gradient.mean((1, 2), keepdim=True) * activation).sum(0).relu()


def eigen_cam(activation: Tensor, _: Tensor) -> Tensor:
    """The projection of each position on the first right singular vector of [H W, C].

    [C, H, W] -> [H, W], not negative. The sign of a singular vector is arbitrary; the one is taken
    with which most of the projection is positive.
    """
    rows = activation.flatten(1).T.double()  # [H W, C]
    # The eigenvector of C x C is the singular vector of the longer matrix, at much less cost.
    direction: Tensor = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
    projected = (rows @ direction).view(activation.shape[1:])
    return (projected * projected.sum().sign()).relu().to(activation.dtype)


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {"layercam": layer_cam, "gradcam": grad_cam, "eigencam": eigen_cam}
)
