"""A study's folder, which one program at a time uses, with the settings of its first start.

study.yaml holds the settings, and hashes of the inputs and the code. cells/ holds the cells, and
everything else is derived from the cells.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import platform
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np
import torch

from ablation.config import StudyConfig
from ablation.looks import spending_of
from ablation.setup import choose
from data.scanning.load import load_dataset
from engine.training.model import read_source
from utils.device import describe_device, find_devices
from utils.errors import UserError
from utils.files import ROOT, expand_user, find_file, make_folder, save_yaml
from utils.text import shown
from utils.yaml_file import load_yaml

# Settings that may differ from start to start: where the cells run, and how many there are.
FREE = (
    "seeds",
    "baseline_seeds",
    "modules",  # a file may move; its content is among the inputs
    "workers",
    "engine",
    "address",
    "slots",
    "cores_per_cell",
    "project",
    "name",
    "dry_run",
)
# Settings that studies of earlier versions do not have in study.yaml.
LATER: dict[str, object] = {"looks": [], "adaptive": False}
# Folders and files with the source code that a training run may use.
TRAINING = ("models", "data", "utils", "engine", "train.py", "val.py")

LOOKED_AGAIN = "raised after a look at the results, which the intervals do not account for"
Started = TypeVar("Started", int, str)


class StudyFile(TypedDict):
    """The content of study.yaml. The lists have an entry for each start that changed the value."""

    settings: dict[str, object]
    inputs: dict[str, str]
    seeds: list[int]
    baseline_seeds: list[int]
    code: list[str]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other programs from working on the study. Raises UserError if one already does."""
    path = make_folder(folder) / ".lock"
    with open(path, "a+", encoding="utf-8") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise UserError(
                f"{folder}: another ablate.py, process {holder}, works on this study; wait for it,"
                " or choose another --name"
            ) from None
        # The operating system ends the lock with the process. The number is for the message only.
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def study_settings(config: StudyConfig) -> dict[str, object]:
    """The settings that must not change while a study continues, as YAML holds them."""
    values = {key: value for key, value in dataclasses.asdict(config).items() if key not in FREE}
    plain = {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
    }
    return {**plain, **spending_of(config)}


def open_study(config: StudyConfig) -> StudyFile:
    """Write study.yaml and return its content, after a check that an existing one agrees with it.

    Raises UserError for other settings, another graph or other data, since the cells would not be
    comparable, and for fewer seeds than before. More seeds are recorded, and so is other code, with
    a warning.
    """
    path = config.folder / "study.yaml"
    former = load_yaml(path) if path.exists() else {}
    settings, inputs = study_settings(config), hash_inputs(config)
    if former:
        known = former.get("settings")
        _refuse_changes(path, {**LATER, **known} if isinstance(known, dict) else known, settings)
        _refuse_changes(path, former.get("inputs"), inputs)
    baseline = max(config.baseline_seeds, config.seeds)
    content: StudyFile = {
        "settings": settings,
        "inputs": inputs,
        "seeds": _history(path, "seeds", former, config.seeds),
        "baseline_seeds": _history(path, "baseline_seeds", former, baseline),
        "code": _history(path, "code", former, hash_code()),
    }
    for key in ("seeds", "baseline_seeds"):
        most, now = max(content[key]), content[key][-1]
        if most > now:
            raise UserError(
                f"--{key.replace('_', '-')} {now}: the study in {config.folder} has {most} already"
            )
    if len(content["code"]) > 1:
        print(
            "warning: the code has changed since the study was started; its runs may not be"
            " comparable"
        )
    # Keys that a later version may have added are kept.
    others = sorted(former.keys() - content, key=str)
    save_yaml(path, {**content, **{key: former[key] for key in others}})
    return content


def _history(path: Path, key: str, former: Mapping[str, object], now: Started) -> list[Started]:
    """The values of a key at all starts, including this one.

    Raises UserError if the values of earlier starts were removed from study.yaml or edited.
    """
    if not former:
        return [now]
    values = former.get(key)
    kept: list[Started] = list(values) if isinstance(values, list) else []
    if not kept or any(type(value) is not type(now) for value in kept):
        raise UserError(
            f"{path}: {key}: {shown(values)}: must list those of all starts; restore it, or choose"
            " another --name"
        )
    if kept[-1] != now:
        kept.append(now)
    return kept


def _refuse_changes(path: Path, former: object, now: Mapping[str, object]) -> None:
    """Raise UserError if a value differs from that of the study's first start."""
    known = former if isinstance(former, dict) else {}
    for key, value in now.items():
        if known.get(key) != value:
            raise UserError(
                f"{path}: this study has {key} {shown(known.get(key))}, now it is {shown(value)};"
                " give what it was started with, or choose another --name"
            )


def hash_inputs(config: StudyConfig) -> dict[str, str]:
    """Short hashes of both splits (names, sizes, labels), the graph, the recipe and the weights.

    The recipe is every flag and hyperparameter that differs from its default, including those from
    files.
    """
    graph, _ = read_source(config.cfg, config.weights, config.scale)
    content = {key: value for key, value in graph.items() if key != "yaml_file"}
    hashes = {
        f"data {split}": load_dataset(config.data, split).digest[:16] for split in ("train", "val")
    }
    hashes["graph"] = _short_hash(repr(content).encode())
    chosen = [
        (item.name, getattr(part, item.name))
        for part in choose(config)
        for item in dataclasses.fields(part)
        if getattr(part, item.name) != item.default
    ]
    hashes["recipe"] = _short_hash(repr(chosen).encode())
    if config.modules:
        files = b"".join(expand_user(file, "--modules ").read_bytes() for file in config.modules)
        hashes["modules"] = _short_hash(files)
    if config.weights:
        hashes["weights"] = _short_hash(find_file(config.weights).read_bytes())
    return hashes


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def training_files() -> list[Path]:
    """Every source file that a training run may use."""
    places = [ROOT / name for name in TRAINING]
    return sorted(
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])
    )


def hash_code() -> str:
    """Short hash of `training_files`."""
    digest = hashlib.sha256()
    for file in training_files():
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def provenance(config: StudyConfig, study: StudyFile, argv: list[str]) -> dict[str, str]:
    """The facts that a reader needs to repeat the study, and what changed while it ran.

    Args:
        config: the flags.
        study: the content of study.yaml, from `open_study`.
        argv: arguments of the command.

    Returns:
        Command, versions, machine and hashes by name.
    """
    found = {
        "command": shlex.join(["python", "ablate.py", *argv]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": describe_device(find_devices(config.device)[0]),
        "commit": _commit(),
        "code": " then ".join(study["code"]),
        **study["inputs"],
    }
    for key in ("seeds", "baseline_seeds"):
        if len(study[key]) > 1:
            grown = " then ".join(map(str, study[key]))
            found[key] = f"{grown}: {'as planned by --looks' if config.looks else LOOKED_AGAIN}"
    return found


def _commit() -> str:
    """The project's commit, followed by + if files differ from it; "" without git."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
