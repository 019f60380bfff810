"""Checkpoints for YOLO: local files are read, and the tensors that fit are copied."""

from __future__ import annotations

from pathlib import Path

from models.weights.classes import is_unnamed
from models.weights.load import read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.files import find_file


def read_local(weights: str) -> Checkpoint:
    """Read a local checkpoint. If it is missing, UserError says that nothing is downloaded."""
    return read_weights(_find(weights))


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
    try:
        return find_file(weights)
    except UserError as error:
        raise UserError(
            f"{error}; nothing is downloaded here: train it, or begin with a YAML of models/"
        ) from None
