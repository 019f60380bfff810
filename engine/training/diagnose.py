"""When a number is no number any more: which layer was the first to make one."""

from __future__ import annotations

import torch
from torch import nn


def first_bad_tensor(model: nn.Module) -> str | None:
    """The key of the first weight or buffer that is not finite, or None."""
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            return key
    return None


def first_bad_gradient(model: nn.Module) -> str | None:
    """The key of the first parameter whose gradient is not finite, or None."""
    for key, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return key
    return None


@torch.no_grad()
def first_bad_layer(model: nn.Module, images: torch.Tensor) -> str | None:
    """Run images [B, 3, H, W] through the model and name the first layer whose output is not
    finite, or None.

    Batch-norm statistics move during the run; it is only called when training ends anyway.
    """
    found: list[str] = []

    def watch(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not found and isinstance(output, torch.Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return hook

    leaves = [
        (name, module) for name, module in model.named_modules() if not any(module.children())
    ]
    handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def explain(model: nn.Module, images: torch.Tensor) -> str:
    """One phrase on where the first non-finite value stands: images, weights, or a layer's
    output.
    """
    if not torch.isfinite(images).all():
        return "the images themselves"
    weight = first_bad_tensor(model)
    if weight:
        return f"weight {weight}"
    layer = first_bad_layer(model, images)
    return f"layer {layer}" if layer else "the loss (every layer's output is finite)"
