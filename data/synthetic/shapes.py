"""The data set that the project makes itself, in seconds, on first use.

Takes a seed; has data/synthetic/scenes.py draw, and writes images and YOLO labels below one
folder, which data/index.py then reads like any other data set.
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
    SHAPES,
    SIDE,
    draw_scene,
)
from utils.errors import UserError
from utils.seeds import stream

VERSION = 3  # raise it whenever the images change, so that older folders are made again
MANIFEST = "manifest.json"
ABANDONED_S = 600  # a temporary folder of this age belongs to a run that was killed


def generate(root: Path, seed: int = 0, train: int = 400, val: int = 80) -> Path:
    """Make the data set in root unless it is there already; return root.

    It is made in a temporary folder beside root and renamed at the end, so that root is never half
    a data set. Raises UserError when the disk refuses, or when root holds files that did not come
    from here.
    """
    root = Path(root)
    manifest = _manifest(seed, train, val)
    temporary = root.with_name(f".{root.name}.tmp-{os.getpid()}")
    try:
        if _is_current(root, manifest):
            return root
        _refuse_foreign(root)
        _sweep(root)
        print(f"{root}: drawing {train + val} images, once", flush=True)
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
    """What the data set is a function of, and the hash of it."""
    content = {
        "generator": "shapes",
        "version": VERSION,
        "seed": seed,
        "train": train,
        "val": val,
        "classes": CLASSES,
        "side": SIDE,
        "diameters": DIAMETERS,
        "shapes": SHAPES,
        "visible": MIN_VISIBLE,
        "overlap": MAX_OVERLAP,
    }
    return {**content, "digest": sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def _read_manifest(root: Path) -> dict[str, Any]:
    """The manifest in root, or {} if there is none that can be read."""
    try:
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_current(root: Path, manifest: dict[str, Any]) -> bool:
    """Whether root holds the wanted data set, every file of it."""
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
    """Raise UserError if root holds anything that may be somebody's own work."""
    ours = _read_manifest(root).get("generator") == "shapes"
    empty = root.is_dir() and not any(root.iterdir())
    if root.exists() and not ours and not empty:
        raise UserError(
            f"{root}: holds files that this generator did not make; move them, or set another"
            " `path:`"
        )


def _sweep(root: Path) -> None:
    """Remove what killed runs left beside root, sparing a run that is at work now."""
    for leftover in root.parent.glob(f".{root.name}.tmp-*"):
        with contextlib.suppress(FileNotFoundError):  # a rival has swept it
            if time.time() - leftover.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _install(temporary: Path, root: Path, manifest: dict[str, Any]) -> None:
    """Rename the finished folder to root; an older one goes aside first.

    A rival that was faster is left in place.
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
            label_rows(classes, boxes, image.shape[:2])
        )

    with ThreadPoolExecutor(
        max_workers=min(os.cpu_count() or 1, 8)
    ) as pool:  # OpenCV and numpy release the lock
        list(pool.map(write, names))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def encode(image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 BGR as the bytes of a JPEG file."""
    import cv2

    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def label_rows(classes: np.ndarray, boxes: np.ndarray, size: tuple[int, ...]) -> str:
    """YOLO label text: class, centre x, y, width, height, as shares of the image; boxes [N, 4]
    xyxy pixels.
    """
    scale = np.array([size[1], size[0], size[1], size[0]])
    rows = (
        np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
        / scale
    )
    pairs = zip(classes, rows, strict=True)
    return "".join(f"{kind} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for kind, (x, y, w, h) in pairs)
