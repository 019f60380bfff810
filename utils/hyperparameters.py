"""Hyperparameters of training under YOLOv5's and YOLOv8's names, with checks of their values.

They are frozen. What a run derives from them is never written back, so that the run's hyp.yaml
holds what the user gave.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError, check_setting
from utils.families import Family
from utils.files import find_file
from utils.text import printable, shown
from utils.yaml_file import load_yaml

NOMINAL_BATCH = 64  # the batch size that learning rates and weight decay refer to


@dataclass(frozen=True)
class Hyperparameters:
    """The values of a hyp file, by YOLOv5's names, with YOLOv8's additional loss terms.

    The defaults are those of hyp.scratch-low.yaml. A value out of range raises UserError.
    """

    lr0: float = 0.01
    lrf: float = 0.01
    momentum: float = 0.937
    weight_decay: float = 0.0005
    warmup_epochs: float = 3.0
    warmup_momentum: float = 0.8
    warmup_bias_lr: float = 0.1
    warmup_iterations: int = 100  # shortest warm-up; a constant in YOLOv5
    nominal_batch: int = NOMINAL_BATCH
    box: float = 0.05
    cls: float = 0.5
    cls_pw: float = 1.0
    obj: float = 1.0
    obj_pw: float = 1.0
    dfl: float = 1.5  # gain of the distribution focal loss; only for graphs without anchors
    # Pixels to which the sides of small targets are enlarged while they are assigned to cells; 0
    # assigns them unchanged. Only for graphs without anchors.
    small_side: float = 16.0
    iou_t: float = 0.2  # unused, as in YOLOv5; kept so that its files load
    anchor_t: float = 4.0
    anchors: float = 0.0  # anchors per level that AutoAnchor finds; 0 keeps the model's
    fl_gamma: float = 0.0
    hsv_h: float = 0.015
    hsv_s: float = 0.7
    hsv_v: float = 0.4
    degrees: float = 0.0
    translate: float = 0.1
    scale: float = 0.5
    shear: float = 0.0
    perspective: float = 0.0
    flipud: float = 0.0
    fliplr: float = 0.5
    mosaic: float = 1.0
    mosaic9: float = 0.0  # share of mosaics that take nine images instead of four
    mixup: float = 0.0
    copy_paste: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_number = (
                isinstance(value, (int, float))
                and not isinstance(value, bool)
                and math.isfinite(value)
            )
            check_setting(is_number, field.name, shown(value), "must be a finite number")
            check_setting(value >= 0, field.name, value, "must not be negative")
        for name in ("flipud", "fliplr", "mosaic", "mosaic9", "mixup", "copy_paste", "translate"):
            check_setting(
                getattr(self, name) <= 1,
                name,
                getattr(self, name),
                "is a probability or share, 0 to 1",
            )
        for name in ("momentum", "warmup_momentum", "scale"):
            check_setting(getattr(self, name) < 1, name, getattr(self, name), "must be below 1")
        check_setting(self.lr0 > 0, "lr0", self.lr0, "must be above 0")
        check_setting(self.anchor_t > 1, "anchor_t", self.anchor_t, "is a ratio of sides, above 1")
        check_setting(
            self.nominal_batch >= 1, "nominal_batch", self.nominal_batch, "must be at least 1"
        )

    @classmethod
    def load(
        cls, path: str | Path, overrides: Mapping[str, object] | None = None
    ) -> Hyperparameters:
        """Read a hyp YAML, and replace single values by overrides.

        Raises UserError with the file for an unknown key or an impossible value.
        """
        file = find_file(path, "data/hyps")
        return cls.from_mapping({**load_yaml(file), **(overrides or {})}, str(file))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], origin: str) -> Hyperparameters:
        """Make them from a mapping, where numbers may be written as text ('1e-3').

        Raises UserError with the origin for an unknown key or an impossible value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                unknown, listed = printable(key, 60), ", ".join(sorted(known))
                raise UserError(f"{origin}: {unknown}: no such hyperparameter; known are {listed}")
        try:
            return cls(**{key: _number(value) for key, value in values.items()})
        except UserError as error:
            raise UserError(f"{origin}: {error}") from None

    def doubts(self, family: Family) -> list[str]:
        """Warnings of values that are probably meant for another family of graphs."""
        # The usual box gains of the families, 0.05 and 7.5, lie on either side of 1.
        if self.box == 1 or (self.box < 1) == (family.box_gain < 1):
            return []
        other = "without anchors" if family.has_anchors else "with anchors"
        return [
            f"hyp: box={self.box}: is the gain of a graph {other}; this one needs about"
            f" {family.box_gain}, see {family.hyp}"
        ]


def _number(value: object) -> Any:
    """Convert text such as '1e-3', which YAML 1.1 does not read as a number; keep other values."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
