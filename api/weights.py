"""Checkpoints for YOLO: local files are read, and the tensors that fit are copied."""

from __future__ import annotations

from pathlib import Path

from api.fused import Network
from engine.exported.load import load_exported
from engine.exported.model import ExportedDetector
from models.weights.classes import is_unnamed
from models.weights.load import find_weights, from_checkpoint, read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.device import take_device
from utils.errors import UserError
from utils.exported_names import is_exported
from utils.files import find_file


def read_local(weights: str) -> Checkpoint:
    """Read a local checkpoint. If it is missing, UserError says that nothing is downloaded."""
    return read_weights(_find(weights))


def open_weights(weights: str, attention: tuple[str, ...], device: str) -> tuple[Network, int, str]:
    """Open a checkpoint or an exported file.

    Args:
        weights: The file.
        attention: Modules to insert into the graph of a checkpoint.
        device: Where an exported file computes, as --device names it.

    Returns:
        The network, the image size that it was made for (pixels, 0 if it does not say), and the
        data set that it was trained on, or "".

    Raises:
        UserError: The file is missing or damaged, or has no graph that could be changed.
    """
    if not is_exported(weights):
        checkpoint = read_local(weights)
        model = from_checkpoint(checkpoint, attention, where=weights)
        return model, int(checkpoint.config.get("imgsz", 0)), checkpoint.data
    if attention:
        raise UserError(f"attention: {weights} is an exported file, whose graph is fixed")
    exported = load_exported(weights, take_device(device))
    return exported, max(exported.usual_size or (0,)), ""


def trainable(model: Network, call: str) -> DetectionModel:
    """The model, if it is no exported file. Raises UserError, which names the call, if it is."""
    if isinstance(model, ExportedDetector):
        raise UserError(
            f"{call}: {model.runtime.where} is an exported file, which predict() and val() take;"
            " give the checkpoint"
        )
    return model


def copy_weights(model: DetectionModel, weights: str) -> None:
    """Copy all tensors that fit from a checkpoint into the model, and print how many.

    The names of classes are copied too if all classes were transferred.
    """
    checkpoint = with_graph(read_local(weights), model.graph, weights)
    report = transfer(model, checkpoint)
    # If only some classes were transferred, the model keeps the names of its own data set.
    all_classes = report.classes == tuple(range(len(checkpoint.names)))
    if all_classes and not is_unnamed(checkpoint.names):
        model.names = checkpoint.names
    print(report.line(weights))


def _find(weights: str) -> Path:
    if is_exported(weights):
        return find_weights(weights)
    try:
        return find_file(weights)
    except UserError as error:
        raise UserError(
            f"{error}; nothing is downloaded here: train it, or begin with a YAML of models/"
        ) from None
