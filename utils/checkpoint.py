"""Checkpoints: plain tensors, numbers and text, written atomically, read without running code.

train.py writes them; train.py --resume and models/weights/load.py read them. Two kinds share one
layout. The last.pt of an unfinished run is complete: raw and averaged weights in float32,
optimizer, scaler, position, random state. best.pt, and last.pt once the run is finished, hold only
what inference needs: the averaged weights in half precision (vectors stay float32).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

import torch

from utils.errors import UserError
from utils.files import atomic_write
from utils.pickles.checks import Refused
from utils.pickles.plain import unshared
from utils.pickles.reader import SavedFile, read_saved
from utils.text import shown
from utils.typed import first_misfit
from utils.version import __version__
from utils.writing import temporary_beside

FORMAT = "attention-yolo-1"


class _LaterContent(TypedDict, total=False):
    """What checkpoints of earlier versions do not have."""

    circumstances: dict[str, str]  # engine/training/circumstances.py: threads, torch, device …


class TrainingContent(_LaterContent):
    """What a run needs to continue, as engine/training/run.py saves and restores it."""

    model: dict[str, torch.Tensor]  # raw weights, before averaging
    updates: int  # how often the averaged weights were updated
    optimizer: dict[str, object]  # state dict
    scaler: dict[str, object]  # state dict
    progress: dict[str, Any]  # fields of engine.training.run.Progress
    gradients: dict[str, torch.Tensor]  # accumulated for an optimizer step that is incomplete
    random: dict[str, torch.Tensor]  # random states by name
    data_digests: list[str]  # of the training and the validation split


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        graph: The model YAML, with the number of classes and the anchors that the run used.
        names: Class number -> name.
        state: The averaged weights, by the state-dict keys of the graph.
        config, hyp: The run's flags and hyperparameters.
        data: Path of the data set's YAML.
        epoch: Number of epochs that were completed.
        scores: Name of a metric -> its value when the file was written.
        training: What the run needs to continue; None once it is finished.
        version: Version of the project that wrote the file; "" for files from before 0.9.
        modules: The files of own classes that the graph uses, as used_files() of
            models/own/adapter.py gives them: names and SHA-256, never code.
    """

    graph: dict[str, Any]
    names: dict[int, str]
    state: dict[str, torch.Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    hyp: dict[str, object] = field(default_factory=dict)
    data: str = ""
    epoch: int = -1
    scores: dict[str, float] = field(default_factory=dict)
    training: TrainingContent | None = None
    version: str = ""
    modules: list[dict[str, object]] = field(default_factory=list)


def save(checkpoint: Checkpoint, path: Path, keep_previous: bool = False) -> None:
    """Write a checkpoint atomically, with the version of this project.

    Args:
        checkpoint: What to write.
        path: The file.
        keep_previous: Whether to keep the former file beside it, as NAME.previous.pt.
    """
    content = {
        "format": FORMAT,
        **{item.name: getattr(checkpoint, item.name) for item in fields(checkpoint)},
        "version": __version__,
    }
    with atomic_write(path) as file:
        torch.save(content, file)
        # The new file replaces the old one when the block ends, so path is still the old one here.
        if keep_previous and path.exists():
            _link_previous(path)


def previous_of(path: Path) -> Path:
    """The path at which save() keeps the former file."""
    return path.with_name(f"{path.stem}.previous.pt")


def _link_previous(path: Path) -> None:
    """Give the present file a second name, so that a complete file exists at every instant."""
    spare = temporary_beside(path)
    try:
        os.link(path, spare)
    except OSError:  # a file system without hard links keeps one generation only
        return
    try:
        os.replace(spare, previous_of(path))
    finally:
        # A rename does nothing if both names are those of one file already, which a kill before the
        # end of the last save leaves.
        spare.unlink(missing_ok=True)


def lean(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert matrices and kernels to half precision where their values fit, and nothing else."""
    return {key: _halved(value) for key, value in on_host(state).items()}


def on_host(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors on the CPU; those of a GPU are copied together, by type, instead of one by one.

    Each copy makes the host wait, and a network has hundreds of small tensors.
    """
    host = {key: value.detach() for key, value in state.items()}
    for dtype in {value.dtype for value in host.values()}:
        away = [key for key, one in host.items() if one.dtype == dtype and one.device.type != "cpu"]
        if away:
            flat = torch.cat([host[key].flatten() for key in away]).cpu()
            for key, part in zip(
                away, flat.split([host[key].numel() for key in away]), strict=True
            ):
                host[key] = part.view(host[key].shape)
    return host


def _halved(value: torch.Tensor) -> torch.Tensor:
    if value.dtype != torch.float32 or value.ndim < 2:
        return value.clone()
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value.clone()


def is_ours(content: object) -> bool:
    """Whether the content of a file claims to be of this project; only unpack() checks that."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint of this project.

    Raises UserError if the file is missing, damaged (even in a single bit), or of another program.
    """
    saved = read_saved(path)
    if not is_ours(saved.content):
        raise UserError(
            f"{path}: is not a checkpoint of this project; train one with train.py, or give it as"
            " --weights, which also takes YOLOv5's and YOLOv8's"
        )
    return unpack(saved)


def unpack(saved: SavedFile) -> Checkpoint:
    """The checkpoint that a file of this project holds, as is_ours() tells.

    Raises UserError for a field whose type or content save() does not write: the format entry
    alone proves nothing, since anybody can write it into a file.
    """
    path = saved.path
    try:
        content = unshared(saved.content)
    except Refused as error:
        raise UserError(f"{path}: {error}; take another checkpoint") from None
    assert isinstance(content, dict)
    content.pop("format")
    try:
        checkpoint = Checkpoint(**content)
    except TypeError:
        raise UserError(
            f"{path}: was written by another version of this project; train with this one"
        ) from None
    _check_fields(path, checkpoint)
    return checkpoint


def _check_fields(path: str, checkpoint: Checkpoint) -> None:
    """Raise UserError for a field whose type or content save() does not write."""
    # What `training` holds is compared with the run when that is restored.
    hints = {**get_type_hints(Checkpoint), "training": dict | None}
    wrong = first_misfit(vars(checkpoint), hints)
    names = checkpoint.names
    if not wrong and set(names) != set(range(len(names))):
        wrong = "names"
    if wrong:
        raise UserError(
            f"{path}: its {wrong} is not as this project writes it; take another checkpoint"
        )
    try:
        check_shared(checkpoint.state)
        check_values(checkpoint.state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def check_shared(state: Mapping[str, torch.Tensor]) -> None:
    """Raise UserError for tensors that share memory: a small file could expand to any size."""
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()
        for value in state.values()
    }
    if sum(value.nbytes for value in state.values()) > sum(storages.values()):
        raise UserError("has tensors that share their values, which no trained detector does")


def check_values(state: Mapping[str, torch.Tensor]) -> None:
    """Raise UserError for weights with which no box can be right: not finite, or variances below 0.

    A network with such a weight finds nothing, and no other line would say why.
    """
    for key, value in state.items():
        # A sum is finite only if all its values are, and takes a tenth of the time.
        if not math.isfinite(value.sum()) and not bool(torch.isfinite(value).all()):
            wrong = "values that are not finite"
        elif key.endswith("running_var") and bool((value < 0).any()):
            wrong = "variances below 0"
        else:
            continue
        raise UserError(
            f"{shown(key)} has {wrong}, so that no result could be right; take an earlier"
            " checkpoint"
        )
