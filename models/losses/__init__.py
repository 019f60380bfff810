"""The training loss of a head, chosen by its HeadSpec; train.py and val.py call build_loss and nothing else here."""

from __future__ import annotations

import torch

from models.losses.v5 import AnchorLoss, LossSettings
from utils.config import Hyperparameters
from utils.errors import UserError
from utils.structures import HeadSpec

__all__ = ["AnchorLoss", "LossSettings", "build_loss"]


def build_loss(
    spec: HeadSpec,
    hyp: Hyperparameters,
    imgsz: int,
    label_smoothing: float = 0.0,
    *,
    autobalance: bool = False,
    best_wins: bool = False,
) -> AnchorLoss:
    """Make the loss of a head; see AnchorLoss for how it is called and LossSettings for the options.

    imgsz: side of the training pictures in pixels, which scales the objectness gain.
    Raises UserError for a head without anchors.
    """
    if not spec.anchors:
        raise UserError("this head has no anchors, and only the loss of anchor heads exists; use a yolov5 graph")
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
