"""From a file to a model: a YAML gives a fresh one, a checkpoint a trained one; and weights from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from models.yolo import DetectionModel, load_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.files import find_file


def load_model(path: str | Path, device: torch.device | str = "cpu", fuse: bool = True) -> DetectionModel:
    """Build the model of a checkpoint or a YAML, in float32 and evaluation mode.

    fuse folds batch norms into convolutions, which is faster and equal up to rounding.
    Raises UserError for a file that is missing, damaged or foreign.
    """
    if str(path).endswith((".yaml", ".yml")):
        model = DetectionModel(load_graph(path))
    else:
        model = from_checkpoint(checkpoints.read(find_file(path)))
    model = model.to(device).float().eval()
    return model.fuse() if fuse else model


def from_checkpoint(checkpoint: checkpoints.Checkpoint) -> DetectionModel:
    """The model that a checkpoint describes, its averaged weights in place."""
    names = checkpoint.names
    model = DetectionModel(checkpoint.graph, class_count=len(names), names=names)
    state = checkpoint.state.items()
    try:
        model.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state})
    except RuntimeError as error:
        raise UserError(f"the checkpoint's weights do not fit its own graph ({str(error).splitlines()[1].strip()}); "
                        "take another checkpoint") from None
    return model


def newest_best() -> Path:
    """The best.pt written most recently below runs/train. Raises UserError if nothing was trained yet."""
    found = sorted(Path("runs/train").glob("*/weights/best.pt"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise UserError("--weights: no runs/train/*/weights/best.pt; train first, or give a checkpoint")
    return found[-1]


def transfer(model: nn.Module, state: dict[str, torch.Tensor], exclude: Sequence[str] = ()) -> tuple[int, int]:
    """Copy every tensor whose key and shape fit, in place; return (copied, entries of the model).

    Keys count base rows only, so the weights of a plain graph fit the same graph with attention inserted.
    exclude: parts of keys to leave alone, such as anchors.
    """
    own = model.state_dict()
    fitting = {
        key: value
        for key, value in state.items()
        if key in own and own[key].shape == value.shape and not any(part in key for part in exclude)
    }
    model.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)
