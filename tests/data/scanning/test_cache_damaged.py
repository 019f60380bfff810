"""A cache that is damaged, forged or of another version is never used, and never a traceback."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from data.scanning.cache import DIGEST_BYTES, cache_folder
from data.scanning.load import load_dataset

REPORT = (
    b'{"total": 7, "found": 2, "missing": 0, "empty": 0, "corrupt": 0, "origin": "",'
    b' "entries": [[5]], "notes": []}'
)
ROW = "1 .5 .5 .2 .2\n"


def _forge(content: bytes, name: str, array: np.ndarray | None) -> bytes:
    """The cache with another array under this name, or without it, and the right digest."""
    with np.load(io.BytesIO(content[DIGEST_BYTES:])) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays.pop(name)
    if array is not None:
        arrays[name] = array
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return hashlib.sha256(packed.getvalue()).digest() + packed.getvalue()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("boxes", None),
        ("sizes", np.zeros((2, 2), np.float64)),
        ("sizes", np.zeros((2, 2), np.int32)),
        ("offsets", np.array([0, 1, 99])),
        ("path_offsets", np.array([0])),
        ("report", np.zeros(9, np.uint8)),
        ("report", np.frombuffer(b'{"entries": 3}', np.uint8)),
        ("report", np.frombuffer(REPORT.replace(b"7", b'"7"'), np.uint8)),
        ("report", np.frombuffer(REPORT.replace(b"[5]", b'["a"]'), np.uint8)),
        ("report", np.frombuffer(REPORT.replace(b"[[5]]", b"[]"), np.uint8)[:, None]),
        ("state", None),
        ("ignored", None),
        ("ignored_images", None),
        ("ignored_images", np.zeros((0, 1), np.int64)),
        ("ignored_images", np.array([7])),
        ("ignored", np.zeros((0, 6), np.complex128)),
    ],
)
def test_a_cache_with_other_arrays_is_scanned_again(make, name, array):
    yaml = make({"a": ROW, "b": ROW})
    expected = load_dataset(yaml, "train")
    (cache,) = cache_folder().glob("*.cache")
    cache.write_bytes(_forge(cache.read_bytes(), name, array))
    index = load_dataset(yaml, "train")
    assert index.digest == expected.digest
    assert index.report.origin == "scanned again: the cache is of another version"
    assert load_dataset(yaml, "train").report.origin == "from the cache"


def test_a_compressed_cache_and_a_pipe_as_cache_are_not_read(make):
    yaml = make({"a": ROW})
    load_dataset(yaml, "train")
    (cache,) = cache_folder().glob("*.cache")
    packed = io.BytesIO()
    np.savez_compressed(packed, state=np.zeros(10**7, np.uint8))
    cache.write_bytes(hashlib.sha256(packed.getvalue()).digest() + packed.getvalue())
    assert "another version" in load_dataset(yaml, "train").report.origin
    cache.unlink()
    os.mkfifo(cache)
    assert "cannot be read" in load_dataset(yaml, "train").report.origin
    assert Path(cache).is_file()
