"""The choice between the plain form of a module and a faster one for a CPU in eager mode.

A fast form computes the same values with less memory traffic. models/norm_silu.py has one of batch
norm and SiLU, the files of models/attention/fast have those of attention modules.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def use_fast(x: Tensor, *, positions: int = 1, accelerators: bool = False) -> bool:
    """Whether the fast form of a module should run.

    The plain form runs on accelerators, where launching many small kernels costs more than memory
    traffic does, and on the meta device, where nothing is computed. It also runs for tracers,
    compilers and exporters, which cannot see into a hand-written backward pass.

    Args:
        x: the module's input, [B, C, H, W].
        positions: the least H * W that the fast form works for.
        accelerators: whether the fast form is the better one on every device, as for ACmix, whose
            plain form keeps a hundred maps.

    Returns:
        True for the fast form, False for the plain one.
    """
    if traced(x) or x.numel() == 0 or x.shape[2:].numel() < positions:
        return False
    return accelerators or x.device.type == "cpu"


def traced(x: Tensor) -> bool:
    """Whether torch.compile, an export or a jit trace runs, or x is a stand-in for a tensor."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or type(x) not in (Tensor, nn.Parameter)
    )
