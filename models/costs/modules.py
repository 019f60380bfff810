"""The costs of a single module: time, kept memory, operations, and its effect on features."""

from __future__ import annotations

import time
import warnings

import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.costs.profile import Counter, state_addresses
from utils.device import finish_queue


def forward_seconds(module: nn.Module, x: Tensor) -> float:
    """Return the seconds of one inference pass."""
    module.eval()
    with torch.inference_mode():
        finish_queue(x.device)
        start = time.perf_counter()
        module(x)
        finish_queue(x.device)
    return time.perf_counter() - start


def train_seconds(module: nn.Module, x: Tensor, weights: Tensor) -> float:
    """Return the seconds of one forward and backward pass.

    Args:
        module: the module to time.
        x: its input, [B, C, H, W].
        weights: the gradient of the output, in its shape.

    Returns:
        Seconds, with the wait for the device included.
    """
    module.train()
    module.zero_grad()
    leaf = x.detach().requires_grad_()
    finish_queue(x.device)
    start = time.perf_counter()
    module(leaf).backward(weights)
    finish_queue(x.device)
    return time.perf_counter() - start


def bytes_kept_by(module: nn.Module, x: Tensor) -> int:
    """Return the bytes that a forward pass in training keeps for the backward pass.

    Each storage counts once, and parameters and buffers do not count.
    """
    ours = state_addresses(module)
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage  # referenced, so that its address is not reused
        return saved

    module.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        out = module(x.detach().requires_grad_())
    del out
    return sum(storage.nbytes() for storage in kept.values())


def counted(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """Return GFLOPs and MB moved of one inference pass, counted operation by operation."""
    module.eval()
    with torch.no_grad(), Counter() as counter:
        module(x)
    return counter.flops / 1e9, counter.moved / 1e6


def gate(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """Return mean and standard deviation of output / input, over inputs above 0.5 in size.

    Both are NaN if the shapes differ.
    """
    with torch.no_grad():
        out = module.train()(x)
    if out.shape != x.shape:
        return float("nan"), float("nan")
    large = x.abs() > 0.5
    ratio = out[large] / x[large]
    return float(ratio.mean()), float(ratio.std())


def smallest_side(name: str, channels: int) -> int:
    """Return the smallest side of a square map that the module can train on, 0 for none up to 8.

    Training needs an output and a gradient that are finite.
    """
    module = build_attention(name, channels).train()
    for side in range(1, 9):
        x = torch.randn(1, channels, side, side, requires_grad=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of maps too small to be useful
                out = module(x)
            out.sum().backward()
        except (RuntimeError, ValueError):  # PyTorch raises these for a map that is too small
            continue
        if out.isfinite().all() and x.grad is not None and x.grad.isfinite().all():
            return side
    return 0
