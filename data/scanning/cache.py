"""The scan's result kept between runs, in a folder of the project's own and never beside the user's
files.

A cache file is the SHA-256 of the rest, then a numpy .npz without pickles. It names the state of
the data set that it was made from (paths, sizes and times of all files, format, names); another
state means a new scan.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import ROOT, atomic_write

VERSION = 1  # to be raised when the arrays or the rules change
DIGEST_BYTES = 32


def cache_folder() -> Path:
    """runs/cache in the project, or the folder that the environment variable YOLO_CACHE_DIR names."""
    return Path(os.environ.get("YOLO_CACHE_DIR") or ROOT / "runs" / "cache")


def cache_path(identity: str) -> Path:
    """The cache file of one split of one data set."""
    return cache_folder() / f"labels-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}.cache"


def state_of(files: Iterable[str], *settings: str) -> str:
    """A hash that changes when a file is added, removed, resized or rewritten, or a setting
    changes.
    """
    state = hashlib.sha256("\0".join((str(VERSION), *settings)).encode())
    for path in files:
        try:
            status = os.stat(path)
            mark = (  # the last one cannot be set back
                f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            )
        except (OSError, ValueError):
            mark = "missing"
        state.update(os.fsencode(path) + f"\0{mark}\n".encode())
    return state.hexdigest()


def read_cache(path: Path, state: str) -> tuple[dict[str, np.ndarray] | None, str]:
    """(arrays, "") of a cache made from this state, or (None, why there is none)."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError:
        return None, "the cache cannot be read"
    if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
        return None, "the cache was damaged"
    with np.load(io.BytesIO(content[DIGEST_BYTES:]), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if arrays.pop("state").tobytes().decode() != state:
        return None, "files have changed since the cache was made"
    return arrays, ""


def write_cache(path: Path, state: str, arrays: dict[str, np.ndarray]) -> None:
    """Keep the arrays for the next run; a disk that refuses only means that it scans again."""
    buffer = io.BytesIO()
    stored: dict[str, Any] = {"state": np.frombuffer(state.encode(), np.uint8), **arrays}
    np.savez(buffer, **stored)
    content = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)
    except (OSError, UserError):
        return
