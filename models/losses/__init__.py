"""The training loss of a head, chosen by its HeadSpec; train.py and val.py call build_loss and
nothing else here.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from models.losses.task_align import AlignSettings
from models.losses.v5 import AnchorLoss, LossSettings
from models.losses.v8 import TaskAlignedLoss, TaskAlignedSettings
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec

__all__ = [
    "AnchorLoss",
    "Loss",
    "LossSettings",
    "TaskAlignedLoss",
    "TaskAlignedSettings",
    "build_loss",
]


class Loss(Protocol):
    """What training and validation need of a loss.

    Everything that counts, sums, logs or draws the terms of a loss goes by their names.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The terms, in the order in which a call returns them."""

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Args:
            raw: The head's maps, a level each, finest first.
            targets: [T, 6] image_index, class, x1, y1, x2, y2 in pixels.
            image_size: (height, width) of the images, pixels.

        Returns:
            The sum of the terms times the number of images, with gradients, and the weighted terms
            [len(names)] without.
        """


def build_loss(
    spec: HeadSpec,
    hyp: Hyperparameters,
    imgsz: int,
    label_smoothing: float = 0.0,
    *,
    autobalance: bool = False,
    best_wins: bool = False,
) -> AnchorLoss | TaskAlignedLoss:
    """Make the loss of a head: AnchorLoss if it has anchors, else TaskAlignedLoss; both are called
    alike.

    imgsz: side of the training images in pixels, which scales the objectness gain. The other
    options are those of LossSettings, which anchor-free heads do not have. Raises UserError for
    options that the head's loss does not have, and for an anchor-free head without bins.
    """
    if not spec.family.has_anchors:
        given = {
            "--label-smoothing": label_smoothing,
            "fl_gamma": hyp.fl_gamma,
            "autobalance": autobalance,
        }
        return build_anchor_free(spec, hyp, {**given, "best_wins": best_wins})
    settings = LossSettings(
        gains=hyp.loss_gains(spec.levels, spec.class_count, imgsz),
        anchor_ratio=hyp.anchor_t,
        obj_weight=hyp.obj_pw,
        cls_weight=hyp.cls_pw,
        focal_gamma=hyp.fl_gamma,
        smoothing=label_smoothing,
        autobalance=autobalance,
        best_wins=best_wins,
    )
    pixels = torch.tensor(spec.anchors, dtype=torch.float32)
    return AnchorLoss(pixels / torch.tensor(spec.strides)[:, None, None], spec.strides, settings)


def build_anchor_free(
    spec: HeadSpec, hyp: Hyperparameters, refused: dict[str, float]
) -> TaskAlignedLoss:
    """Make the loss of a head without anchors. refused: options that only the other loss has, by
    name.
    """
    for name, value in refused.items():
        if value:
            raise UserError(
                f"{name}={value}: the loss of anchor-free heads has no such option; leave it out"
            )
    if spec.reg_max < 2:
        raise UserError(
            f"reg_max={spec.reg_max}: a head that has no anchors needs 2 bins a side or more;"
            " write 16"
        )
    align = AlignSettings(small_side=hyp.small_side)
    return TaskAlignedLoss(spec, TaskAlignedSettings((hyp.box, hyp.cls, hyp.dfl), align))
