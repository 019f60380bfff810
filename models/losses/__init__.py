"""The training loss of a head, chosen by its family; programs use build_loss and Loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from models.losses.v5 import build_anchor_loss
from models.losses.v8 import build_task_aligned_loss
from utils.families import V5, V8
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec


class Loss(Protocol):
    """The interface by which training and validation use a loss.

    Code that counts, sums, logs or draws the terms of a loss reads `names`.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The terms, in the order in which a call returns them."""

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Args:
            raw: The head's maps, one per level, finest first.
            targets: [T, 6] image_index, class, x1, y1, x2, y2 in pixels.
            image_size: (height, width) of the images, pixels.

        Returns:
            The sum of the terms times the number of images, with gradients, and the weighted terms
            [len(names)] without.
        """


LossBuilder = Callable[[HeadSpec, Hyperparameters, int, float], Loss]
LOSS_BUILDERS: Mapping[str, LossBuilder] = {
    V5.name: build_anchor_loss,
    V8.name: build_task_aligned_loss,
}


def build_loss(
    spec: HeadSpec, hyp: Hyperparameters, imgsz: int, label_smoothing: float = 0.0
) -> Loss:
    """Make the loss of a head.

    Args:
        spec: Of the head; its family chooses the loss.
        hyp: Hyperparameters, such as the gains of the terms.
        imgsz: Side of the training images in pixels, which scales a gain of heads with anchors.
        label_smoothing: Epsilon; must be 0 for heads without anchors.

    Returns:
        The loss of the head's family.

    Raises:
        UserError: An option is set that the head's loss does not have, or the head predicts no
            distances.
    """
    return LOSS_BUILDERS[spec.family.name](spec, hyp, imgsz, label_smoothing)
