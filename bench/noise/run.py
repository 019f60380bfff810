"""A training that keeps averages of its weights with several profiles beside the usual one.

Its command line is that of train.py, after the file into which the averages are written.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import train
from bench.planted_faults import replaced
from engine.training import build
from engine.training.ema import ModelEMA
from utils.files import atomic_write

WIDTHS = (0.05, 0.1, 0.2)  # of the profiles, as a share of the training


def power_exponent(width: float) -> float:
    """The exponent g of an average in which update u of n weighs in proportion to (u / n)^g.

    The width is the standard deviation of that profile as a share of n, and is solved for g by
    bisection (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion
    Models", section 3.1, width = sqrt((g + 1) / ((g + 2)^2 (g + 3)))). Unlike an average with a
    decay of 0.9999, it forgets the start of a short training and covers as much of a long one.
    """
    low, high = 0.0, 1 / width
    for _ in range(60):
        middle = (low + high) / 2
        if (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > width**2:
            low = middle
        else:
            high = middle
    return low


class Averages(ModelEMA):
    """The usual average, and others of the profiles in WIDTHS.

    Args:
        model: The model to average.
        made: A list that the new object is added to.
    """

    def __init__(self, model: nn.Module, made: list[Averages]) -> None:
        super().__init__(model)
        self.more = {width: [value.clone() for value in self.averages] for width in WIDTHS}
        made.append(self)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move all averages towards the model's current values."""
        super().update(model)
        for width, averages in self.more.items():
            decay = (1 - 1 / self.updates) ** (power_exponent(width) + 1)
            torch._foreach_lerp_(averages, self._values, 1 - decay)

    def states(self) -> dict[float, dict[str, Tensor]]:
        """The state dict of each profile."""
        whole = self.module.state_dict()
        floating = [name for name, value in whole.items() if value.is_floating_point()]
        return {
            width: {**whole, **dict(zip(floating, averages, strict=True))}
            for width, averages in self.more.items()
        }


def main(argv: list[str]) -> None:
    """Train, and write the averages."""
    made: list[Averages] = []
    with replaced(build, "ModelEMA", partial(Averages, made=made)):
        train.main(argv[1:])
    with atomic_write(Path(argv[0])) as file:
        torch.save(made[-1].states(), file)


if __name__ == "__main__":
    main(sys.argv[1:])
