"""A study's folder: one program at a time works on it, and only with the settings that it was
started with.

study.yaml holds them, with hashes of what went in; cells/ holds the cells, and everything else is
derived from those.
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
from typing import Any

import numpy as np
import torch

from ablation.setup import choose
from ablation.study import StudyConfig
from data.index import load_dataset
from engine.training.model import read_source
from utils.device import describe_device
from utils.errors import UserError
from utils.files import ROOT, find_file, load_yaml, make_folder, save_yaml

FREE = (
    "seeds",
    "baseline_seeds",
    "workers",
    "engine",
    "address",
    "slots",
    "cores_per_cell",
    "project",
    "name",
    "dry_run",
)  # may differ from start to start: who runs the cells, and how many
TRAINING = (
    "models",
    "data",
    "utils",
    "engine",
    "train.py",
    "val.py",
)  # whose source files a training may run


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other programs from working on the study meanwhile. Raises UserError if one does."""
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
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def settings_of(config: StudyConfig) -> dict[str, Any]:
    """What must not change while a study goes on, as YAML holds it."""
    values = {key: value for key, value in dataclasses.asdict(config).items() if key not in FREE}
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
    }


def open_study(config: StudyConfig) -> dict[str, Any]:
    """Write study.yaml, or compare with the one that is there; return its content, for provenance.

    Raises UserError for other settings, another graph or other data: cells would not be comparable.
    Other code is noted, and more seeds than at first too.
    """
    path, settings, inputs = config.folder / "study.yaml", settings_of(config), hash_inputs(config)
    content: dict[str, Any] = {"settings": settings, "inputs": inputs, "seeds": [config.seeds],
                               "baseline_seeds": [max(config.baseline_seeds, config.seeds)],
                               "code": [hash_code()]}  # fmt: skip
    if path.is_file():
        former = load_yaml(path)
        refuse_changes(path, former.get("settings"), settings)
        refuse_changes(path, former.get("inputs"), inputs)
        for key in ("seeds", "baseline_seeds", "code"):
            history, now = (
                read_history(path, key, former.get(key), type(content[key][0])),
                content[key][0],
            )
            content[key] = history if [now] == history[-1:] else [*history, now]
            if key != "code" and max(content[key]) > now:
                raise UserError(
                    f"--{key.replace('_', '-')} {now}: the study in {config.folder} has "
                    f"{max(content[key])} already"
                )
        for name in sorted(former.keys() - content.keys()):
            content[name] = former[name]
    if len(content["code"]) > 1:
        print(
            "warning: the code has changed since the study was started; its cells may not be"
            " comparable"
        )
    save_yaml(path, content)
    return content


def read_history(path: Path, key: str, values: Any, kind: type) -> list[Any]:
    """What study.yaml says of earlier starts. Raises UserError if that was edited away."""
    if (
        not isinstance(values, list)
        or not values
        or not all(type(value) is kind for value in values)
    ):
        raise UserError(
            f"{path}: {key}: {values!r}: must list those of all starts; put it back, or choose"
            " another --name"
        )
    return values


def refuse_changes(path: Path, former: Any, now: Mapping[str, Any]) -> None:
    former = former if isinstance(former, dict) else {}
    for key, value in now.items():
        if former.get(key) != value:
            raise UserError(
                f"{path}: this study has {key} {former.get(key)!r}, now it is {value!r}; give what"
                " it was started with, or choose another --name"
            )


def hash_inputs(config: StudyConfig) -> dict[str, str]:
    """Short hashes of both splits (names, sizes, labels), of the graph, the recipe and the weights.

    The recipe is what was chosen and is no default: flags, and hyperparameters out of whatever file
    they are from.
    """
    graph, _ = read_source(config.cfg, config.weights, config.scale)
    content = {key: value for key, value in graph.items() if key != "yaml_file"}
    hashes = {
        f"data {split}": load_dataset(config.data, split).digest[:16] for split in ("train", "val")
    }
    hashes["graph"] = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    chosen = [
        (item.name, getattr(part, item.name))
        for part in choose(config)
        for item in dataclasses.fields(part)
        if getattr(part, item.name) != item.default
    ]
    hashes["recipe"] = hashlib.sha256(repr(chosen).encode()).hexdigest()[:16]
    if config.weights:
        hashes["weights"] = hashlib.sha256(find_file(config.weights).read_bytes()).hexdigest()[:16]
    return hashes


def training_files() -> list[Path]:
    """Every source file of what a training may run."""
    places = [ROOT / name for name in TRAINING]
    return sorted(
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])
    )


def hash_code() -> str:
    """Short hash of all files that a training may run."""
    state = hashlib.sha256()
    for file in training_files():
        state.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return state.hexdigest()[:16]


def provenance(config: StudyConfig, study: Mapping[str, Any], argv: list[str]) -> dict[str, Any]:
    """What a reader needs to repeat the study: command, versions, machine, hashes; and what was
    changed on the way.
    """
    device = torch.device(
        "cuda:0" if torch.cuda.is_available() and config.device != "cpu" else "cpu"
    )
    found = {
        "command": shlex.join(["python", "ablate.py", *argv]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": describe_device(device),
        "commit": _commit(),
        "code": " then ".join(study["code"]),
        **study["inputs"],
    }
    for key in ("seeds", "baseline_seeds"):
        if len(study[key]) > 1:
            grown = " then ".join(map(str, study[key]))
            found[key] = (
                f"{grown}: raised after a look at the results, which the intervals do not"
                " account for"
            )
    return found


def _commit() -> str:
    """The commit that this project is at, with + if files differ from it; "" without git."""
    try:
        command = [
            "git",
            "-C",
            str(ROOT),
            "describe_device",
            "--always",
            "--dirty=+",
            "--exclude=*",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
