"""An attention module that starts as the identity: out = x + alpha * (module(x) - x).

A new module rescales its input (SE halves it, CBAM quarters it), so that a pretrained network first
has to recover from the insertion. Here alpha is learned and starts at 0, where every output is
bit-equal to the input. alpha has a gradient from the first step on, and the module's own parameters
have one as soon as alpha has moved.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from models.own.adapter import OwnModule


def start_as_identity(module: nn.Module) -> nn.Module:
    """Give the module its alpha, a parameter of shape [], and return it.

    The module's own parameters keep their names. A module that starts as the identity by itself
    (`starts_as_identity`, such as one whose last layer is zero) is not changed: a product of two
    zero factors would give neither of them a gradient. Raises ValueError for one that changes the
    channels.
    """
    # A person's class may have an attribute of this name that means something else.
    if hasattr(module, "out_channels") and not isinstance(module, OwnModule):
        raise ValueError(
            "init: identity: impossible where the number of channels changes; use init: paper"
        )
    if not getattr(module, "starts_as_identity", False):
        name = "identity_alpha" if hasattr(module, "alpha") else "alpha"
        module.register_parameter(name, nn.Parameter(torch.zeros(())))
        module.register_forward_hook(partial(_blend, name=name))
    return module


def _blend(
    module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor, name: str = "alpha"
) -> Tensor:
    """Mix the module's input and output, [B, C, H, W], by alpha, in the type of the input."""
    x = inputs[0]
    if out.shape != x.shape:
        raise ValueError(
            f"init: identity: the module turns {list(x.shape)} into {list(out.shape)}; use init:"
            " paper"
        )
    return x + module.get_parameter(name).to(x.dtype) * (out - x)
