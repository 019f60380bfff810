"""Generation of the synthetic data set, on first use and within seconds.

data/synthetic/scenes.py draws the images. This file writes them and their YOLO labels below one
folder, which data/scanning reads like any other data set.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from data.synthetic.scenes import (
    CLASSES,
    DIAMETERS,
    MAX_OVERLAP,
    MIN_VISIBLE,
    SHAPE_COUNTS,
    SIDE,
    draw_scene,
)
from utils.errors import UserError
from utils.json_file import load_json
from utils.machine import usable_cores
from utils.seeds import stream
from utils.text import counted

SHAPES_VERSION = 3  # increase it whenever the images change, so that older folders are replaced
MANIFEST = "manifest.json"
ABANDONED_S = 600  # a temporary folder of this age belongs to a run that was killed


def generate(root: Path, seed: int = 0, train: int = 400, val: int = 80) -> Path:
    """Make the data set, unless it exists already.

    It is made in a temporary folder beside root and renamed at the end, so that root never holds
    half a data set.

    Args:
        root: The folder of the data set.
        seed: Seed of all scenes.
        train: Images to train on.
        val: Images to validate on.

    Returns:
        root.

    Raises:
        UserError: A file cannot be written, or root holds files that this function did not write.
    """
    root = Path(root)
    manifest = _manifest(seed, train, val)
    temporary = root.with_name(f".{root.name}.tmp-{os.getpid()}")
    try:
        if _is_current(root, manifest):
            return root
        _refuse_foreign(root)
        _sweep(root)
        print(f"{root}: drawing {counted(train + val, 'image')}, only this time", flush=True)
        _write_all(temporary, manifest)
        _install(temporary, root, manifest)
    except OSError as error:
        where = error.filename or root
        raise UserError(
            f"{where}: the generated data set cannot be written ({error.strerror}); make the folder"
            " writable, free some space, or set another `path:` in a copy of data/shapes.yaml"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root


def _manifest(seed: int, train: int, val: int) -> dict[str, Any]:
    """All that the data set depends on, and its hash."""
    content = {
        "generator": "shapes",
        "version": SHAPES_VERSION,
        "seed": seed,
        "train": train,
        "val": val,
        "classes": CLASSES,
        "side": SIDE,
        "diameters": DIAMETERS,
        "shapes": SHAPE_COUNTS,
        "visible": MIN_VISIBLE,
        "overlap": MAX_OVERLAP,
    }
    return {**content, "digest": sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def _read_manifest(root: Path) -> dict[str, Any]:
    """The manifest in root, or {} if none can be read."""
    try:
        return load_json(root / MANIFEST, "")
    except UserError:
        return {}


def _is_current(root: Path, manifest: dict[str, Any]) -> bool:
    """Whether root holds the data set of this manifest, with every file."""
    if _read_manifest(root).get("digest") != manifest["digest"]:
        return False
    folders = [
        (root / kind / split, manifest[split])
        for kind in ("images", "labels")
        for split in ("train", "val")
    ]
    return all(
        folder.is_dir() and len([*folder.glob("?????.*")]) == count for folder, count in folders
    )


def _refuse_foreign(root: Path) -> None:
    """Raise UserError if root holds anything that a user may have put there."""
    ours = _read_manifest(root).get("generator") == "shapes"
    empty = root.is_dir() and not any(root.iterdir())
    if root.exists() and not ours and not empty:
        raise UserError(
            f"{root}: holds files that this generator did not make; move them, or set another"
            " `path:`"
        )


def _sweep(root: Path) -> None:
    """Remove temporary folders of killed runs, but not those of runs that are still active."""
    for leftover in root.parent.glob(f".{root.name}.tmp-*"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if time.time() - leftover.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _install(temporary: Path, root: Path, manifest: dict[str, Any]) -> None:
    """Rename the finished folder to root, in place of an older one.

    If another process has made the same data set in the meantime, that one stays.
    """
    if root.exists() and not _is_current(root, manifest):
        aside = root.with_name(f".{root.name}.tmp-{os.getpid()}-old")
        os.replace(root, aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        os.rename(temporary, root)
    except OSError:
        if not _is_current(root, manifest):
            raise


def _write_all(folder: Path, manifest: dict[str, Any]) -> None:
    """Draw and write every image with its label file, then the manifest."""
    names = [(split, number) for split in ("train", "val") for number in range(manifest[split])]
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            (folder / kind / split).mkdir(parents=True)

    def write(name: tuple[str, int]) -> None:
        split, number = name
        image, classes, boxes = draw_scene(stream("shapes", manifest["seed"], split, number))
        (folder / "images" / split / f"{number:05}.jpg").write_bytes(encode(image))
        (folder / "labels" / split / f"{number:05}.txt").write_text(
            label_rows(classes, boxes, image.shape[:2]), encoding="utf-8"
        )

    # Threads are enough, since OpenCV and numpy release the interpreter's lock.
    with ThreadPoolExecutor(max_workers=min(usable_cores(), 8)) as pool:
        list(pool.map(write, names))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def encode(image: np.ndarray) -> bytes:
    """The content of a JPEG file of an image [H, W, 3] uint8 BGR."""
    import cv2

    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def label_rows(classes: np.ndarray, boxes: np.ndarray, size: tuple[int, ...]) -> str:
    """The YOLO label file of an image.

    Args:
        classes: [N] int.
        boxes: [N, 4] xyxy, pixels.
        size: (height, width) of the image, pixels.

    Returns:
        A row of class, centre x, y, width and height per box, in shares of the image's sides.
    """
    scale = np.array([size[1], size[0], size[1], size[0]])
    rows = (
        np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
        / scale
    )
    pairs = zip(classes, rows, strict=True)
    return "".join(f"{kind} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for kind, (x, y, w, h) in pairs)
