"""From a file to a model: a YAML gives a fresh one, a checkpoint a trained one, ours or YOLOv5's or
YOLOv8's.

read_weights() is the one door for --weights. models/weights/transfer.py fits a checkpoint's weights
to another graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from models.graph.read import load_graph
from models.graph.sites import insert
from models.weights.pickles.reader import read_foreign
from models.weights.transfer import transfer
from models.weights.upstream.adopt import adopt
from models.yolo import DetectionModel
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.files import find_file

EXPORTED = (".onnx", ".torchscript", ".engine", ".tflite", ".pb", ".mlmodel", ".mlpackage")


def read_weights(path: str | Path) -> checkpoints.Checkpoint:
    """A checkpoint of this project, or one of YOLOv5, YOLOv8 and their forks as one of ours.

    A file of tensors alone gives one without a graph, for models/weights/upstream/adopt.py's
    with_graph(). Raises UserError for a file that is missing, damaged, or holds anything else;
    nothing of it is ever run.
    """
    if Path(path).suffix in EXPORTED:
        raise UserError(
            f"{path}: is an exported file, for its own runtime; give the checkpoint it is from"
        )
    return checkpoints.read(path) if checkpoints.is_ours(path) else adopt(read_foreign(path))


def load_model(
    path: str | Path, device: torch.device | str = "cpu", fuse: bool = True, attention: Sequence[str] = (),
    attention_init: str = "",
) -> DetectionModel:  # fmt: skip
    """Build the model of a checkpoint or a YAML, in float32 and evaluation mode.

    fuse folds batch norms into convolutions, which is faster and equal up to rounding. attention:
    modules to put into its graph, by models/graph/sites.py, and attention_init: how those start.
    Raises UserError for a file that is missing, damaged or foreign.
    """
    if str(path).endswith((".yaml", ".yml")):
        model = DetectionModel(insert(load_graph(path), attention, attention_init))
    else:
        model = from_checkpoint(read_weights(find_file(path)), attention, attention_init, path)
    model = model.to(device).float().eval()
    return model.fuse() if fuse else model


def from_checkpoint(
    checkpoint: checkpoints.Checkpoint,
    attention: Sequence[str] = (),
    attention_init: str = "",
    where: str | Path = "the checkpoint",
) -> DetectionModel:
    """The model that a checkpoint describes, its averaged weights in place; with attention put in,
    that is fresh.

    where: the file, for errors. Raises UserError for tensors without a graph, or with another one.
    """
    if not checkpoint.graph:
        raise UserError(
            f"{where}: holds tensors without a graph; train.py takes them, with --cfg for their"
            " graph"
        )
    names = checkpoint.names
    if attention:
        graph = insert(checkpoint.graph, attention, attention_init)
        model = DetectionModel(graph, class_count=len(names), names=names)
        print(transfer(model, checkpoint).line(where))
        return model
    model = DetectionModel(checkpoint.graph, class_count=len(names), names=names)
    state = checkpoint.state.items()
    try:
        model.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state}
        )
    except RuntimeError as error:
        raise UserError(
            f"{where}: its weights do not fit its own graph ({str(error).splitlines()[1].strip()});"
            " take another checkpoint"
        ) from None
    return model


def newest_best() -> Path:
    """The best.pt written most recently below runs/train.

    Raises UserError if nothing was trained yet.
    """
    found = sorted(
        Path("runs/train").glob("*/weights/best.pt"), key=lambda file: file.stat().st_mtime
    )
    if not found:
        raise UserError(
            "--weights: no runs/train/*/weights/best.pt; train first, or give a checkpoint"
        )
    return found[-1]
