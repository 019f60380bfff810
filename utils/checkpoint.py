"""Checkpoints: plain tensors, numbers and text, written atomically, read without running code.

train.py writes them; train.py --resume and models/weights/load.py read them. Two kinds share one
layout. The last.pt of an unfinished run is complete: raw and averaged weights in float32,
optimizer, scaler, position, random state. best.pt, and last.pt once the run is finished, hold only
what inference needs: the averaged weights in half precision (vectors stay float32).
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

import torch

from utils import __version__
from utils.errors import UserError
from utils.files import atomic_write

FORMAT = "attention-yolo-1"
ARCHIVE_ERRORS = (  # what zipfile raises for an archive that is damaged, or forged to mislead it
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
)


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
    spare = path.with_name(f".{path.stem}.previous-{os.getpid()}")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except OSError:  # a file system without hard links keeps one generation only
        return
    os.replace(spare, previous_of(path))


def lean(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert matrices and kernels to half precision where their values fit, and nothing else."""
    return {key: _halved(value) for key, value in state.items()}


def _halved(value: torch.Tensor) -> torch.Tensor:
    value = value.detach().cpu()
    if value.dtype != torch.float32 or value.ndim < 2:
        return value.clone()
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value.clone()


def is_ours(path: str | Path) -> bool:
    """Whether a file claims to be of this project; only read() checks whether that is true."""
    try:
        # The format is the first entry of the pickle, so its first bytes are enough.
        with zipfile.ZipFile(path) as archive, archive.open(f"{_stem(archive)}data.pkl") as file:
            return FORMAT.encode() in file.read(512)
    except (OSError, *ARCHIVE_ERRORS):
        return False


def _stem(archive: zipfile.ZipFile) -> str:
    """The one folder of an archive, as torch.save names it after the file."""
    return archive.namelist()[0].partition("/")[0] + "/" if archive.namelist() else ""


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint of this project.

    Raises UserError if the file is missing, damaged (even in a single bit), or a pickle of another
    program. Such pickles may run code when they are loaded, so they are always refused.
    """
    path = Path(path)
    _verify(path)
    try:
        # weights_only restricts the unpickler to tensors and plain values: no code is run.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: holds more than tensors and text ({_culprit(error)}), which is never loaded; "
            "give a checkpoint of this project; only --weights also takes YOLOv5's and YOLOv8's"
        ) from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        raise UserError(
            f"{path}: is damaged ({str(error).splitlines()[0][:80]}); take an older checkpoint"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: is not a checkpoint of this project; train one with train.py")
    content.pop("format")
    try:
        checkpoint = Checkpoint(**content)
    except TypeError:
        raise UserError(
            f"{path}: was written by another version of this project; train with this one"
        ) from None
    _check_fields(path, checkpoint)
    return checkpoint


def _check_fields(path: Path, checkpoint: Checkpoint) -> None:
    """Raise UserError for a field whose type or content save() does not write.

    The format entry alone proves nothing, since anybody can write it into a file.
    """
    kinds: dict[str, type | tuple[type, ...]] = {
        "graph": dict,
        "names": dict,
        "state": dict,
        "config": dict,
        "hyp": dict,
        "data": str,
        "epoch": int,
        "scores": dict,
        "training": (dict, type(None)),
        "version": str,
        "modules": list,
    }
    wrong = [
        name for name, kind in kinds.items() if not isinstance(getattr(checkpoint, name), kind)
    ]
    if not wrong:
        names, state = checkpoint.names, checkpoint.state
        if set(names) != set(range(len(names))) or not all(
            isinstance(name, str) for name in names.values()
        ):
            wrong = ["names"]
        elif not all(
            isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
        ):
            wrong = ["state"]
    if wrong:
        raise UserError(
            f"{path}: its {wrong[0]} is not as this project writes it; take another checkpoint"
        )
    try:
        check_shared(checkpoint.state)
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


def _verify(path: Path) -> None:
    """Check the archive's checksums, so that a flipped bit is an error and not a wrong weight.

    Compressed entries are refused first: torch.save writes none, and a small file could expand to
    any size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            is_plain = all(
                entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
                for entry in entries
            )
            if not is_plain or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise UserError(
                    f"{path}: has compressed entries, which this project does not write; take"
                    " another one"
                )
            broken = archive.testzip()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check --weights") from None
    except ARCHIVE_ERRORS as error:
        raise UserError(
            f"{path}: is damaged or not a checkpoint ({error}); take an older one"
        ) from None
    if broken:
        raise UserError(f"{path}: is damaged at {broken}; take an older checkpoint")


def _culprit(error: Exception) -> str:
    """The name that the safe reader objected to, from its long message."""
    text = str(error)
    for mark in ("GLOBAL ", "Unsupported global: ", "Unsupported class "):
        if mark in text:
            return text.split(mark, 1)[1].split()[0].strip(".,`'")
    return text.splitlines()[0][:80]
