"""Check what a checkpoint holds for --resume against the objects that it is loaded into.

torch checks the keys of an optimizer's state but not its shapes, so a damaged or forged file would
end in an error within a training step. Here it is one line before the first batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import get_type_hints

import torch
from torch import Tensor, nn

from utils.checkpoint import Checkpoint, TrainingContent, check_values
from utils.errors import UserError
from utils.text import shown
from utils.typed import fits

NEEDED = (
    "model",
    "updates",
    "optimizer",
    "scaler",
    "progress",
    "gradients",
    "random",
    "data_digests",
)
# What each kind of optimizer keeps of a parameter once it has made a step.
MEMORY: tuple[tuple[type[torch.optim.Optimizer], frozenset[str]], ...] = (
    (torch.optim.SGD, frozenset({"momentum_buffer"})),
    (torch.optim.Adam, frozenset({"step", "exp_avg", "exp_avg_sq"})),
    (torch.optim.AdamW, frozenset({"step", "exp_avg", "exp_avg_sq"})),
)


def check_saved(
    resumed: Checkpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: type,
    lengths: Mapping[str, int],
) -> None:
    """Compare a checkpoint with the new objects of its run.

    Args:
        resumed: The checkpoint of an interrupted run.
        model, optimizer, scaler: The new objects.
        progress: The class of the run's position.
        lengths: Those of its lists, which may also be empty before the first batch of an epoch.

    Raises:
        UserError: Something is missing, or of another type or shape than the run's.
    """
    saved = resumed.training
    if saved is None:
        raise UserError("--resume: the run is finished; start a new one from it with --weights")
    problems = (
        _kinds(saved),
        _tensors("weights", resumed.state, model.state_dict(), is_complete=True),
        _tensors("training model", saved.get("model"), model.state_dict(), is_complete=True),
        _tensors("training gradients", saved.get("gradients"), dict(model.named_parameters())),
        _position(saved.get("progress"), progress, lengths),
        _optimizer(saved.get("optimizer"), optimizer),
        _scaler(saved.get("scaler"), scaler),
        _random(saved.get("random")),
    )
    for found in problems:
        for problem in found:
            raise UserError(
                f"--resume: the checkpoint's {problem}; take last.previous.pt beside it, or start"
                " a new run"
            )
    check_values(saved["model"])


def _kinds(saved: Mapping[str, object]) -> Iterator[str]:
    """Entries that are missing or of another type."""
    hints = get_type_hints(TrainingContent)
    for name in (*NEEDED, *saved):
        if name not in saved:
            yield f"training has no {name}"
        elif name in hints and not fits(saved[name], hints[name]):
            yield f"training {name} is not as this project writes it"


def _tensors(
    what: str, found: object, own: Mapping[str, Tensor], is_complete: bool = False
) -> Iterator[str]:
    """Tensors that the run does not have, or has with another shape or kind of number."""
    assert isinstance(found, dict)
    for key, value in found.items():
        if key not in own or own[key].shape != value.shape:
            yield f"{what} have {shown(key)} {list(value.shape)}, which its graph does not have"
        elif own[key].is_floating_point() != value.is_floating_point():
            yield f"{what} have {shown(key)} as {value.dtype}, where {own[key].dtype} is needed"
    if is_complete and len(found) < len(own):
        yield f"{what} have {len(found)} tensors, but its graph has {len(own)}"


def _position(found: object, kind: type, lengths: Mapping[str, int]) -> Iterator[str]:
    """Fields of the position that are unknown, of another type, or negative."""
    assert isinstance(found, dict)
    hints = get_type_hints(kind)
    for name, value in found.items():
        if name not in {field.name for field in fields(kind)}:
            yield f"training progress has an entry {shown(name)}, which this version does not know"
        elif not fits(value, hints[name]) or (type(value) is int and value < -1):
            yield f"training progress has {shown(value)} as {name}"
        elif name in lengths and isinstance(value, list):
            may_be_empty = not found.get("batch") or name != "loss_sums"
            if len(value) != lengths[name] and (value or not may_be_empty):
                yield f"training progress has {len(value)} numbers as {name}"


def _optimizer(found: object, own: torch.optim.Optimizer) -> Iterator[str]:
    """Differences between the saved state of an optimizer and the new one."""
    assert isinstance(found, dict)
    what, groups, state = "training optimizer", found.get("param_groups"), found.get("state")
    new = own.state_dict()["param_groups"]
    if not fits(groups, list[dict[str, object]]) or not fits(state, dict[int, dict[str, object]]):
        yield f"{what} is not as torch writes it"
        return
    assert isinstance(groups, list)
    assert isinstance(state, dict)
    for one, ours in zip(groups, new, strict=False):
        if one.keys() != ours.keys() or one.get("params") != ours["params"]:
            yield f"{what} has other groups of parameters than this run"
        for name, value in ours.items():
            if name in one and not _alike(one[name], value):
                yield f"{what} has {shown(one[name])} as {name}"
    if len(groups) != len(new):
        yield f"{what} has {len(groups)} groups of parameters, but this run has {len(new)}"
    yield from _memory(what, state, own)


def _memory(
    what: str, state: Mapping[int, Mapping[str, object]], own: torch.optim.Optimizer
) -> Iterator[str]:
    """What an optimizer keeps of each parameter, where it is not of the parameter's shape."""
    parameters = [one for group in own.param_groups for one in group["params"]]
    needed = next((names for kind, names in MEMORY if type(own) is kind), None)
    for number, kept in state.items():
        is_other = bool(kept) and needed is not None and kept.keys() != needed
        if not 0 <= number < len(parameters) or is_other:
            yield f"{what} has entries of another optimizer for parameter {number}"
            continue
        for name, value in kept.items():
            shapes = (torch.Size(), parameters[number].shape)
            fitting = isinstance(value, Tensor) and value.shape == shapes[name != "step"]
            is_absent = value is None and name == "momentum_buffer"  # before the first step
            if not (fitting or is_absent or (name == "step" and _is_number(value))):
                yield f"{what} has {name} of parameter {number} with another shape than it"


def _alike(value: object, ours: object) -> bool:
    """Whether an option has the type of the run's own, and numbers are finite."""
    if isinstance(ours, (list, tuple)):
        return isinstance(value, (list, tuple)) and len(value) == len(ours)
    if _is_number(ours):
        return _is_number(value)
    return value is None or type(value) is type(ours) or ours is None


def _is_number(value: object) -> bool:
    is_plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_plain and math.isfinite(value)  # type: ignore[arg-type]


def _scaler(found: object, own: torch.amp.GradScaler) -> Iterator[str]:
    """Entries of the scaler of gradients that are missing or no positive numbers."""
    assert isinstance(found, dict)
    missing = own.state_dict().keys() - found.keys() if found else ()
    if missing or not all(_is_number(value) and value >= 0 for value in found.values()):
        yield "training scaler is not as torch writes it"


def _random(found: object) -> Iterator[str]:
    """The state of the random numbers, if it is of another size than torch's."""
    assert isinstance(found, dict)
    own, state = torch.get_rng_state(), found.get("cpu")
    if state is None or state.dtype != own.dtype or state.shape != own.shape:
        yield "training random state is of another size than torch's"
