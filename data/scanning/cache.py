"""The cache of scans, kept between runs in a folder of the project and never beside the data.

A cache file is the SHA-256 of its content, then a numpy .npz without pickles. It holds a hash of
the data set's state: paths, sizes and times of all files, format and class names. If the state has
changed, the data set is scanned again.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import ROOT, atomic_write
from utils.regular_file import open_regular
from utils.writing import sweep

CACHE_VERSION = 3  # increase it whenever the arrays or the rules of reading change
DIGEST_BYTES = 32
AT_ONCE = 1000  # files
FILES_CHANGED = "files have changed since the cache was made"
# What reading raises for a file with the right digest that this version did not write.
NOT_OURS = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    OSError,
    NotImplementedError,
    MemoryError,
    SyntaxError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def cache_folder() -> Path:
    """The folder that YOLO_CACHE_DIR in the environment names, else runs/cache in the project."""
    return Path(os.environ.get("YOLO_CACHE_DIR") or ROOT / "runs" / "cache")


def cache_path(identity: str) -> Path:
    """The cache file of one split of one data set."""
    return cache_folder() / f"labels-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}.cache"


def state_of(files: Iterable[str], *settings: str) -> str:
    """A hash that changes with a setting, and when a file is added, removed or rewritten."""
    state = hashlib.sha256(
        "\0".join((str(CACHE_VERSION), *settings)).encode(errors="surrogatepass")
    )
    marks = map(_mark, files)
    while part := "".join(islice(marks, AT_ONCE)):
        state.update(os.fsencode(part))
    return state.hexdigest()


def _mark(path: str) -> str:
    """A line that changes when a file is rewritten, added or removed."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return f"{path}\0missing\n"
    # rsync and cp -p set the modification time back; the change time cannot be set back.
    return f"{path}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"


def read_cache(path: Path, state: str) -> tuple[dict[str, np.ndarray] | None, str]:
    """Return (arrays, "") of a cache with this state, or (None, the reason why it is not used)."""
    sweep(path.parent)
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError:
        return None, ""
    except (OSError, MemoryError):
        return None, "the cache cannot be read"
    if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
        return None, "the cache was damaged"
    try:
        arrays = _unpack(content[DIGEST_BYTES:])
        if arrays.pop("state").tobytes().decode("ascii", "replace") != state:
            return None, FILES_CHANGED
    except NOT_OURS:
        return None, "the cache is of another version"
    return arrays, ""


def _unpack(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed .npz. Raises one of NOT_OURS."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer) as packed:
        # Ours are not compressed, so that no member is longer than the file.
        if sum(member.file_size for member in packed.infolist()) > len(content):
            raise ValueError("compressed")
    with np.load(buffer, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_cache(path: Path, state: str, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays for the next run; if that fails, the next run scans again.

    Args:
        path: The cache file.
        state: state_of() the files that the arrays were made from.
        arrays: Name -> array; the name `state` is reserved.
    """
    buffer = io.BytesIO()
    marked: dict[str, Any] = {"state": np.frombuffer(state.encode(), np.uint8), **arrays}
    np.savez(buffer, **marked)
    content = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)
    except (OSError, UserError):
        return
