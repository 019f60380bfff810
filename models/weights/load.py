"""Load a model from a file: a YAML gives a fresh model, a checkpoint a trained one.

Checkpoints may be ours or those of YOLOv5 and YOLOv8. read_weights() reads every --weights file.
models/weights/transfer.py copies a checkpoint's weights into a model of another graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.sites import insert
from models.own.registry import require, say
from models.weights.transfer import transfer
from models.weights.upstream.adopt import adopt
from models.weights.upstream.rows import fit_graph
from models.yolo import DetectionModel, check_size, parse_model
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.exported_names import is_exported
from utils.files import find_file
from utils.pickles.reader import read_saved
from utils.text import printable

SMALL_MODEL = 10**6  # parameters that any checkpoint may have


def read_weights(path: str | Path) -> checkpoints.Checkpoint:
    """Read a checkpoint of this project, or convert one of YOLOv5, YOLOv8 or a fork of them.

    A file of tensors alone gives a checkpoint without a graph; with_graph() of
    models/weights/upstream/adopt.py adds one. Raises UserError for a file that is missing, damaged,
    or holds anything else. Nothing in a file is ever run.
    """
    saved = read_saved(path)
    if not checkpoints.is_ours(saved.content):
        return adopt(saved)
    checkpoint = checkpoints.unpack(saved)
    require_modules(checkpoint, path)
    return checkpoint


def find_weights(path: str | Path) -> Path:
    """Find a checkpoint. Raises UserError if it is missing, or an exported file."""
    if is_exported(path):
        raise UserError(
            f"{path}: is an exported file, which only val.py and detect.py read; give the"
            " checkpoint that it was made of, such as best.pt"
        )
    return find_file(path)


def require_modules(checkpoint: checkpoints.Checkpoint, path: str | Path) -> None:
    """Check that the own classes of a checkpoint were given, and say if their file has changed.

    Raises UserError if one is missing.
    """
    for warning in require(path, checkpoint.modules):
        say(f"warning: {warning}")


def load_model(
    path: str | Path,
    device: torch.device | str = "cpu",
    fuse: bool = True,
    attention: Sequence[str] = (),
    attention_init: str = "",
    checkpoint: checkpoints.Checkpoint | None = None,
) -> DetectionModel:
    """Build the model of a checkpoint or a YAML.

    Args:
        path: the file.
        device: where the model runs.
        fuse: whether to fold batch norms into convolutions, which is faster, and equal up to
            rounding.
        attention: modules to insert into its graph, as models/graph/sites.py reads them.
        attention_init: how the inserted modules start.
        checkpoint: what read_weights() has read from the file; None reads it.

    Returns:
        The model in float32 and evaluation mode.

    Raises:
        UserError: The file is missing, damaged, or not a model.
    """
    if str(path).endswith((".yaml", ".yml")):
        model = DetectionModel(insert(load_graph(path), attention, attention_init))
    else:
        checkpoint = checkpoint or read_weights(find_weights(path))
        model = from_checkpoint(checkpoint, attention, attention_init, path)
    model = model.to(device).float().eval()
    return model.fuse() if fuse else model


def from_checkpoint(
    checkpoint: checkpoints.Checkpoint,
    attention: Sequence[str] = (),
    attention_init: str = "",
    where: str | Path = "the checkpoint",
) -> DetectionModel:
    """Build the model that a checkpoint describes, with its averaged weights.

    Args:
        checkpoint: from read_weights().
        attention: modules to insert into its graph, whose weights are fresh.
        attention_init: how the inserted modules start.
        where: the file, for errors.

    Returns:
        The model in float32 and training mode.

    Raises:
        UserError: The checkpoint has no graph, or its weights do not fit its graph.
    """
    if not checkpoint.graph:
        raise UserError(
            f"{where}: holds tensors without a graph; train.py takes them, with --cfg for their"
            " graph"
        )
    names = checkpoint.names
    if attention:
        # The checkpoint has no weights for the inserted modules, so load_state_dict would fail.
        graph = insert(checkpoint.graph, attention, attention_init)
        model = DetectionModel(graph, class_count=len(names), names=names)
        print(transfer(model, checkpoint).line(where))
        return model
    state = {
        key: value.float() if value.is_floating_point() else value
        for key, value in checkpoint.state.items()
    }
    held = most_parameters(checkpoint)
    model = DetectionModel(checkpoint.graph, class_count=len(names), names=names, held=held)
    try:
        _load(model, state)
        return model
    except RuntimeError as error:
        # The first line of torch's own message only names the class.
        reason = printable(str(error).splitlines()[-1].strip(), 120)
    # A row such as `CBAM, []` may have meant another form when the file was written; its tensors
    # show which.
    try:
        graph, fitted = fit_graph(checkpoint.graph, read_graph(checkpoint.graph), state)
        model = DetectionModel(graph, class_count=len(names), names=names, held=held)
        _load(model, fitted)
    except (RuntimeError, UserError):
        raise UserError(
            f"{where}: its weights do not fit its own graph ({reason}); take another checkpoint"
        ) from None
    return model


def _load(model: DetectionModel, state: dict[str, Tensor]) -> None:
    """Load a state dict. Raises RuntimeError if keys, shapes or kinds of numbers differ."""
    for key, own in model.state_dict().items():
        if key in state and state[key].is_floating_point() != own.is_floating_point():
            raise RuntimeError(f"{key} is {state[key].dtype}, where {own.dtype} is needed")
    model.load_state_dict(state)


def most_parameters(checkpoint: checkpoints.Checkpoint) -> int:
    """The most parameters that the graph of a checkpoint may have, by the values in the file.

    A row that meant another form when the file was written has other numbers, hence the factor.
    """
    return 2 * sum(value.numel() for value in checkpoint.state.values()) + SMALL_MODEL


def check_holds(checkpoint: checkpoints.Checkpoint) -> None:
    """Raise UserError if a checkpoint's graph is much larger than the weights that it holds.

    Only sizes are computed; nothing is allocated.
    """
    graph = read_graph(checkpoint.graph)
    with torch.device("meta"):
        check_size(parse_model(graph, 0)[0], graph, most_parameters(checkpoint))


def newest_best() -> Path:
    """The best.pt below runs/train that was written last.

    Raises UserError if there is none.
    """
    found = Path("runs/train").glob("*/weights/best.pt")
    newest = max(found, key=lambda file: file.stat().st_mtime, default=None)
    if newest is None:
        raise UserError(
            "--weights: no runs/train/*/weights/best.pt; train first, or give a checkpoint"
        )
    return newest
