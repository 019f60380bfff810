"""Whether a training that was interrupted ended as one that was not, and what it left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from engine.training.lock import LOCK_FILE

EXACT = ("results.csv", "opt.yaml", "hyp.yaml")  # byte for byte
CHECKPOINTS = ("weights/last.pt", "weights/best.pt")
CLOCKS = ("speed_ms", "memory_mb")  # of metrics.json
ABSENT = "(not there)"


def unlike(reference: Path, run: Path) -> list[str]:
    """What differs between the folders of two runs, as FILE or FILE: KEY.

    Raises FileNotFoundError if the reference lacks a file, since then nothing is compared.
    """
    found = []
    for name in (*EXACT, *CHECKPOINTS, "metrics.json"):
        if not (reference / name).is_file():
            raise FileNotFoundError(f"{reference / name}: the reference has not ended well")
    for name in EXACT:
        pair = [_bytes(folder / name) for folder in (reference, run)]
        if pair[0] != pair[1]:
            found.append(name if pair[1] else f"{name} is missing")
    for name in (*CHECKPOINTS, "metrics.json"):
        pair = [_content(folder / name) for folder in (reference, run)]
        found += [f"{name}: {key}" for key in unequal_keys(*pair)]
    return found


def unequal_keys(one: Any, other: Any) -> list[str]:
    """The dotted keys at which two nested contents differ, tensors bit for bit."""
    flat = [dict(_leaves(content)) for content in (one, other)]
    keys = dict.fromkeys([*flat[0], *flat[1]])
    return [key for key in keys if flat[0].get(key, ABSENT) != flat[1].get(key, ABSENT)]


def _leaves(content: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(content, torch.Tensor):
        plain = content.detach().contiguous().view(-1)
        data = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        yield prefix, (str(content.dtype), tuple(content.shape), data)
    else:
        yield prefix, repr(content)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _content(path: Path) -> Any:
    """A checkpoint's content, or that of metrics.json without clocks."""
    if not path.is_file():
        return ABSENT
    if path.suffix == ".pt":
        return torch.load(path, map_location="cpu", weights_only=True)
    content = json.loads(path.read_text())
    return {key: value for key, value in content.items() if key not in CLOCKS}


def leftovers(folder: Path) -> list[str]:
    """Files that an interrupted write leaves: hidden ones, temporary ones, former checkpoints.

    The file by which a run is locked stays in its folder.
    """
    paths = (path for path in folder.rglob("*") if path.name != LOCK_FILE)
    names = [path.relative_to(folder).as_posix() for path in paths]
    return sorted(
        name
        for name in names
        if name.rpartition("/")[2].startswith(".") or ".tmp" in name or ".previous" in name
    )
