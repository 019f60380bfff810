"""NAM's sparsity penalty: p * (sum |gamma| + sum |lambda|) over the scale factors of NAM modules.

Liu, Shao, Teng and Hoffmann, "NAM: Normalization-based Attention Module", NeurIPS 2021 workshop,
equation 4 (https://arxiv.org/abs/2111.12419). As in the paper, the loss of a step is the sum over
its images, since YOLOv5's loss is multiplied by the batch size. The penalty applies to every
attention module with a method `sparsity_scales()`.

The penalty is added as its gradient, p * sign(scale), once for each optimizer step: after
unscaling, before clipping, and equally in every process. (The authors' published script visits the
wrong child modules and so never applies it.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from utils.errors import UserError

THRESHOLDS = (1e-4, 1e-3, 1e-2, 1e-1)  # limits of |scale| in the table after training


@runtime_checkable
class Penalised(Protocol):
    """A module with scale factors to penalise."""

    def sparsity_scales(self) -> Sequence[nn.Parameter]:
        """The scale factors; empty if the module was built without any."""


class Sparsity:
    """The penalty of one model."""

    def __init__(self, model: nn.Module, weight: float) -> None:
        """Find the scale factors; weight is p, and 0 switches the penalty off.

        Raises UserError for a weight above 0 where no module has scales to penalise.
        """
        self.weight = weight
        self.layers = {
            name: scales
            for name, module in model.named_modules()
            if isinstance(module, Penalised) and (scales := module.sparsity_scales())
        }
        if weight and not self.layers:
            raise UserError(
                f"--sparsity {weight}: the graph has no NAM row with scales to penalise; add one"
            )

    @property
    def scales(self) -> list[nn.Parameter]:
        """All penalised parameters that learn."""
        return [scale for scales in self.layers.values() for scale in scales if scale.requires_grad]

    def add_gradients(self) -> None:
        """Add p * sign(scale) to the gradient of each scale that has one; sign(0) is 0."""
        if self.weight:
            with torch.no_grad():
                for scale in self.scales:
                    if scale.grad is not None:
                        scale.grad.add_(scale.sign(), alpha=self.weight)

    def columns(self) -> dict[str, float]:
        """The penalty's current value as a column of results.csv; {} when it is off."""
        if not self.weight:
            return {}
        total = sum(float(scale.detach().abs().sum()) for scale in self.scales)
        return {"train/sparsity": self.weight * total}

    def table(self) -> str:
        """How many scales of each layer are below each threshold, aligned for the terminal.

        It is empty if the model has no such layer.
        """
        if not self.layers:
            return ""
        header = f"{'NAM scales near zero':>32}{'scales':>9}" + "".join(
            f"{f'< {limit:g}':>9}" for limit in THRESHOLDS
        )
        rows = [_row(name, scales) for name, scales in self.layers.items()]
        everything = [scale for scales in self.layers.values() for scale in scales]
        return "\n".join(
            [header, *rows, _row("all", everything)] if len(rows) > 1 else [header, *rows]
        )


def _row(name: str, scales: Sequence[nn.Parameter]) -> str:
    """A line of the table."""
    values = torch.cat([scale.detach().abs().flatten().cpu() for scale in scales])
    counts = "".join(f"{int((values < limit).sum()):>9}" for limit in THRESHOLDS)
    return f"{name:>32}{len(values):>9}{counts}"
