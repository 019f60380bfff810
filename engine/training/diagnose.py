"""Search for the first layer, weight or gradient that is not finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.device import autocast
from utils.errors import UserError

SHOWN_PATHS = 3  # paths of a batch that an error lists


class NotFiniteError(UserError):
    """A loss, a gradient or a weight is not finite; such a state is never saved."""


@dataclass(frozen=True)
class BatchPlace:
    """The batch at which a run stands, for errors.

    Attributes:
        epoch, batch: Numbers, counted from 0.
        paths: Paths of the batch's images.
        last: Path of the run's last checkpoint, which does not exist under --nosave.
        precision: --precision of the forward pass.
    """

    epoch: int
    batch: int
    paths: tuple[str, ...]
    last: Path
    precision: str = "fp32"

    def error(self, cause: str) -> NotFiniteError:
        """An error whose one line names the place, the cause, and the remedy."""
        names = ", ".join(Path(path).name for path in self.paths[:SHOWN_PATHS])
        more = ", …" if len(self.paths) > SHOWN_PATHS else ""
        # The checkpoint that is written before the first epoch has learnt nothing.
        kept = (
            f"the last good checkpoint is {self.last}"
            if self.epoch and self.last.exists()
            else "no epoch was completed, so start again"
        )
        return NotFiniteError(
            f"epoch {self.epoch}, batch {self.batch} ({names}{more}): {cause}; {kept}; lower lr0 in"
            " --hyp, or use --precision fp32"
        )


def first_bad_tensor(model: nn.Module) -> str | None:
    """The key of the first weight or buffer that is not finite, or None."""
    values = {key: one for key, one in model.state_dict().items() if one.is_floating_point()}
    # They are read together, since each look at a value makes the host wait for a GPU.
    finite = torch.stack([torch.isfinite(one).all() for one in values.values()]).tolist()
    return next((key for key, is_finite in zip(values, finite, strict=True) if not is_finite), None)


def first_bad_gradient(model: nn.Module) -> str | None:
    """The key of the first parameter whose gradient is not finite, or None."""
    for key, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return key
    return None


@torch.no_grad()
def first_bad_layer(model: nn.Module, images: Tensor) -> str | None:
    """Run images [B, 3, H, W] and name the first layer whose output is not finite, or None.

    The forward pass changes batch-norm statistics, so call it only when training ends anyway.
    """
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not found and isinstance(output, Tensor) and not torch.isfinite(output).all():
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


def explain_non_finite(model: nn.Module, images: Tensor, precision: str = "fp32") -> str:
    """Name the place of the first non-finite value: images, weights, or a layer's output.

    Args:
        model: The model; its batch-norm statistics change.
        images: [B, 3, H, W], its input.
        precision: That of the training, since what overflows in fp16 does not in float32.
    """
    if not torch.isfinite(images).all():
        return "the images themselves"
    weight = first_bad_tensor(model)
    if weight:
        return f"weight {weight}"
    with autocast(images.device, precision):
        layer = first_bad_layer(model, images)
    return f"layer {layer}" if layer else "the loss (every layer's output is finite)"
