"""An attention module that starts as if it were not there: out = x + alpha * (module(x) - x), alpha
learned from 0.

Most modules rescale what passes through them when they are new (SE halves it, CBAM quarters it), so
that a pretrained network first has to recover from the insertion. With alpha = 0 every output is
bit-equal to the input. alpha has a gradient from the first step on, and the module's own parameters
as soon as alpha has moved.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def start_as_identity(module: nn.Module) -> nn.Module:
    """Give the module its alpha, a parameter of shape [], beside its own, whose names stay as they
    are.

    A module that starts as the identity anyway (`starts_as_identity`, such as one whose last layer
    is zero) is left alone: behind two zeros no gradient would reach anything. Raises ValueError for
    one that changes the channels.
    """
    if hasattr(module, "out_channels"):
        raise ValueError(
            "init: identity: impossible where the number of channels changes; use init: paper"
        )
    if not getattr(module, "starts_as_identity", False):
        module.register_parameter("alpha", nn.Parameter(torch.zeros(())))
        module.register_forward_hook(_blend)
    return module


def _blend(module: Any, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """[B, C, H, W] of the module's input and output -> the same, mixed by alpha, in the input's
    type.
    """
    x = inputs[0]
    if out.shape != x.shape:
        raise ValueError(
            f"init: identity: the module turns {list(x.shape)} into {list(out.shape)}; use init:"
            " paper"
        )
    return x + module.alpha.to(x.dtype) * (out - x)
