"""The weights of a checkpoint under the keys that YOLOv5 and YOLOv8 have for the same graph."""

from __future__ import annotations

from pathlib import Path

import torch

from models.graph.read import read_graph
from models.weights.transfer import upstream_keys
from models.yolo import DetectionModel
from utils.errors import UserError
from utils.files import atomic_write


def save_upstream(model: DetectionModel, weights: str, half: bool = False) -> Path:
    """Write NAME_upstream.pt, a state dict, beside the checkpoint.

    Args:
        model: The model of the checkpoint.
        weights: Path of the checkpoint.
        half: Store numbers in half precision, as YOLOv5's own files do.

    Returns:
        The path of the file.

    Raises:
        UserError: The file is a model YAML, which has no weights.
    """
    if weights.endswith((".yaml", ".yml")):
        raise UserError(f"--save-upstream: {weights} has no weights; give a checkpoint")
    state = model.state_dict()
    if half:
        state = {
            key: value.half() if value.is_floating_point() else value
            for key, value in state.items()
        }
    names = upstream_keys(read_graph(model.graph), state)
    path = Path(weights).with_name(f"{Path(weights).stem}_upstream.pt")
    with atomic_write(path) as file:
        torch.save({names[key]: value.cpu() for key, value in state.items()}, file)
    print(
        f"{path}: {len(state)} tensors; in the other program:"
        " model.load_state_dict(torch.load(FILE))"
    )
    return path
