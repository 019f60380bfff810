"""Damaged images and damaged label caches: each is refused or read, in bounded time and memory.

    python -m bench.faults.images --count 1000

Every case runs in a process of its own, whose errors, time and memory are measured. A damaged cache
must never be used: what is loaded equals a new scan.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from bench.faults.measured import MeasuredCall, measured_call
from data.image_header import ImageError
from data.images import check_image, read_image
from data.scanning.cache import DIGEST_BYTES
from data.scanning.load import load_dataset
from utils.files import save_yaml

SUFFIXES = ("jpg", "png", "webp", "bmp", "tif", "jp2", "ppm", "gif", "ras", "hdr", "avif", "pfm")
SECONDS, MEGABYTES = 5.0, 300  # the bounds of one refusal
HEAD = 200  # bytes in which headers lie


def whole_images() -> dict[str, bytes]:
    """An image of each format, as bytes by its suffix."""
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    floats = {"hdr", "pfm"}
    return {
        suffix: cv2.imencode(
            f".{suffix}", pixels.astype(np.float32) if suffix in floats else pixels
        )[1].tobytes()
        for suffix in SUFFIXES
    }


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, cut, lie in the header with large numbers, or repeat a part."""
    changed = bytearray(data)
    kind = rng.integers(4)
    if kind == 0:
        for at in rng.integers(0, len(changed), rng.integers(1, 9)):
            changed[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del changed[int(rng.integers(len(changed))) :]
    elif kind == 2:
        at = int(rng.integers(min(HEAD, len(changed))))
        changed[at : at + 4] = bytes(rng.integers(0, 256, 4, dtype=np.uint8))
    else:
        start, end = sorted(rng.integers(0, len(changed), 2).tolist())
        changed[start:start] = changed[start:end] * int(rng.integers(1, 50))
    return bytes(changed)


def _read(path: str) -> str:
    """Scan and decode one image; return what became of it."""
    outcomes = []
    for read in (check_image, read_image):
        try:
            read(path)
            outcomes.append("read")
        except ImageError:
            outcomes.append("refused")
    return " ".join(outcomes)


def _load(path: str) -> str:
    """Load a data set through its damaged cache; return the origin of the labels and a hash."""
    index = load_dataset(path, "train")
    return f"{index.report.origin} {index.digest[:16]} {len(index.report.entries)}"


def _breaks(call: MeasuredCall) -> bool:
    """Whether a call failed, or took more than its bounds."""
    return call.how != "read" or call.seconds > SECONDS or call.megabytes > MEGABYTES


def _say(name: str, call: MeasuredCall) -> None:
    """Print a case that does not hold."""
    figures = f"{call.seconds:.1f} s, {call.megabytes:.0f} MB"
    print(f"{name}: {call.how}, {figures}: {call.text[-300:]}")


def damaged_images(folder: Path, count: int) -> int:
    """Damage images of all formats; print what became of them; return the number of faults."""
    whole, outcomes, faults = whole_images(), Counter[str](), 0
    for number in range(count):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        path = folder / f"{number}.{suffix}"
        path.write_bytes(damage(whole[suffix], np.random.default_rng(number)))
        call = measured_call(partial(_read, str(path)))
        outcomes[call.text if call.how == "read" else call.how] += 1
        if _breaks(call):
            faults += 1
            _say(path.name, call)
        path.unlink()
    print(f"{count} damaged images of {len(SUFFIXES)} formats: {dict(outcomes)}, {faults} faults")
    return faults


def _small_set(folder: Path) -> Path:
    images, labels = folder / "images" / "train", folder / "labels" / "train"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number, (suffix, data) in enumerate(whole_images().items()):
        (images / f"{number}.{suffix}").write_bytes(data)
        shape = ".1 .1 .4 .1 .4 .5" if number == 3 else f".5 .5 .{number + 1} .4"
        (labels / f"{number}.txt").write_text(f"{number % 2} {shape}\n")
    (images / "empty.jpg").touch()
    path = folder / "data.yaml"
    entries = {"train": "images/train", "val": "images/train", "names": ["a", "b"]}
    save_yaml(path, {"path": str(folder), **entries})
    return path


def _forge(content: bytes, rng: np.random.Generator) -> bytes:
    """A cache whose digest is right and whose arrays are not: cut, retyped, renamed or missing."""
    with np.load(io.BytesIO(content[DIGEST_BYTES:])) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = sorted(set(arrays) - {"state"})[int(rng.integers(len(arrays) - 1))]
    array = arrays.pop(name)
    kind = rng.integers(5)
    if kind == 0:
        arrays[f"old_{name}"] = array
    elif kind == 1 and len(array):  # half of nothing would be the same cache
        arrays[name] = array[: len(array) // 2]
    elif kind == 2:
        arrays[name] = array.astype(np.complex128)
    elif kind == 3:
        arrays[name] = array[..., None]
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    data = packed.getvalue()
    return hashlib.sha256(data).digest() + data


def damaged_caches(folder: Path, count: int) -> int:
    """Damage the label cache; print what became of it; return the number of faults."""
    path, outcomes, faults = _small_set(folder), Counter[str](), 0
    expected = _load(str(path)).split()[1:]
    (cache,) = Path(os.environ["YOLO_CACHE_DIR"]).glob("*.cache")
    content = cache.read_bytes()
    for number in range(count):
        rng = np.random.default_rng(number)
        forged = _forge(content, rng) if number % 2 else damage(content, rng)
        cache.write_bytes(forged)
        call = measured_call(partial(_load, str(path)))
        origin = call.text.rsplit(" ", 2)[0] if call.how == "read" else call.how
        outcomes[origin] += 1
        wrong = call.text.split()[-2:] != expected or (
            origin == "from the cache" and forged != content
        )
        if wrong or _breaks(call):
            faults += 1
            _say(f"cache {number}", call)
    print(f"{count} damaged label caches: {dict(outcomes)}, {faults} faults")
    return faults


def main() -> int:
    """Run both campaigns; the status is 0 if nothing broke its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CACHE_DIR"] = f"{folder}/cache"
        faults = damaged_images(Path(folder), count)
        faults += damaged_caches(Path(folder) / "set", count)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
