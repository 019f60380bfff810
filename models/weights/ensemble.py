"""Several detectors as one: val.py and detect.py get theirs here, from one --weights file or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.weights.load import load_model
from utils.errors import UserError


class Ensemble(nn.Module):
    """Detectors of the same classes; their boxes are pooled, and non-maximum suppression chooses
    among them.

    files: where the members are from, for errors. family: as of each member. Raises UserError
    if their class names differ, or if they are not of one family.
    """

    def __init__(self, members: Sequence[Any], files: Sequence[str]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.names = members[0].names
        self.family = members[0].family
        self.stride = max(
            (member.stride for member in members), key=lambda stride: float(stride.max())
        )
        for member, file in zip(members, files, strict=True):
            if member.names != self.names:
                raise UserError(
                    f"--weights {file}: has other classes than {files[0]}; an ensemble needs the"
                    " same ones"
                )
            if member.family != self.family:
                raise UserError(
                    f"--weights {file}: has another kind of head than {files[0]}, with anchors the"
                    " one and the other without; an ensemble needs the same kind"
                )

    def forward(self, x: Tensor, augment: bool = False) -> tuple[Tensor, None]:
        """x: [B, 3, H, W] in 0..1.

        Returns ([B, sum of the members' N, 5 + nc, or 4 + nc] decoded boxes, None).
        """
        return torch.cat([member(x, augment=augment)[0] for member in self.members], 1), None


def load_models(
    files: Sequence[str],
    device: torch.device,
    attention: Sequence[str] = (),
    attention_init: str = "",
) -> Any:
    """The detector of one file, or the ensemble of several, on device, in evaluation mode.

    attention: modules to put into each, by models/graph/sites.py, and attention_init: how those
    start.
    """
    members = [
        load_model(file, device, attention=attention, attention_init=attention_init)
        for file in files
    ]
    model = members[0] if len(members) == 1 else Ensemble(members, files)
    return (
        model if device.type == "mps" else model.to(memory_format=torch.channels_last)
    )  # faster convolutions
