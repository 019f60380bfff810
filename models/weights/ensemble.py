"""Several detectors as one, for val.py and detect.py with one or more --weights files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.weights.classes import compare_classes
from models.weights.load import load_model
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.device import arrange
from utils.errors import UserError


class Ensemble(nn.Module):
    """Detectors of the same classes, whose boxes are pooled before non-maximum suppression.

    Attributes:
        members: the detectors.
        names: of the classes, by number.
        family: that of each member (utils/families.py).
        stride: pixels per cell of each level, of the member with the coarsest level.
        channels: of the images.
    """

    def __init__(self, members: Sequence[DetectionModel], files: Sequence[str]) -> None:
        """Pool detectors.

        Errors name the members' files. Raises UserError if their class names or their kinds of
        head differ.
        """
        super().__init__()
        self.members = nn.ModuleList(members)
        self.names = members[0].names
        self.family, self.channels = members[0].family, members[0].channels
        self.stride = max(
            (member.stride for member in members), key=lambda stride: float(stride.max())
        )
        for member, file in zip(members, files, strict=True):
            if len(member.names) != len(self.names):
                raise UserError(
                    f"--weights {file}: has other classes than {files[0]}; an ensemble needs the"
                    " same ones"
                )
            agreed = compare_classes(member.names, self.names, (f"--weights {file}", files[0]))
            if agreed.note:
                raise UserError(f"{agreed.note}, but an ensemble needs the same classes")
            if member.channels != self.channels:
                raise UserError(
                    f"--weights {file}: has {member.channels} input channels and {files[0]}"
                    f" {self.channels}; an ensemble needs the same number"
                )
            if member.family != self.family:
                raise UserError(
                    f"--weights {file}: has another kind of head than {files[0]}, one with anchors"
                    " and the other without; an ensemble needs the same kind"
                )
        self.eval()  # as its members are; a new module is in training mode

    def forward(self, x: Tensor, augment: bool = False) -> tuple[Tensor, None]:
        """[B, 3, H, W] in 0..1 -> ([B, N, 5 + nc] or, without objectness, [B, N, 4 + nc], None).

        N is the sum of the members' numbers of decoded boxes.
        """
        return torch.cat([member(x, augment=augment)[0] for member in self.members], 1), None


def load_models(
    files: Sequence[str],
    device: torch.device,
    attention: Sequence[str] = (),
    attention_init: str = "",
    first: Checkpoint | None = None,
) -> DetectionModel | Ensemble:
    """Load the detector of one file, or the ensemble of several.

    Args:
        files: checkpoints or YAMLs.
        device: where the model runs.
        attention: modules to insert into each, as models/graph/sites.py reads them.
        attention_init: how the inserted modules start.
        first: the content of the first file, if it has been read already.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: A file cannot be loaded, or the files do not fit together.
    """
    members = [
        load_model(
            file,
            device,
            attention=attention,
            attention_init=attention_init,
            checkpoint=None if number else first,
        )
        for number, file in enumerate(files)
    ]
    model = members[0] if len(members) == 1 else Ensemble(members, files)
    return arrange(model, device)
