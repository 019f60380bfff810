"""What the programs work on: copies of a data set with YOLO labels, and a film of its images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from data.scanning.load import load_dataset
from data.synthetic.shapes import label_rows
from utils.errors import UserError

FILM_SIZE, FRAMES_PER_SECOND, FRAMES_OF_AN_IMAGE = (640, 480), 25, 25  # width and height, pixels


def copy_dataset(data: str, folder: Path, limit: int = 0, val: int = 1) -> tuple[Path, int, int]:
    """Copy images, and write YOLO labels and a YAML file that all programs read.

    Args:
        data: Data set YAML of any format.
        folder: Folder to write into; it must not exist.
        limit, val: Maximum numbers of images to train on and to validate on; 0 for all.

    Returns:
        The YAML file and the numbers of images.
    """
    counts = {}
    for task, most in (("train", limit), ("val", val)):
        index = load_dataset(data, task)
        counts[task] = min(most or len(index), len(index))
        for kind in ("images", "labels"):
            (folder / kind / task).mkdir(parents=True)
        for number in range(counts[task]):
            sample = index[number]
            name = f"{number:06}{Path(sample.path).suffix}"
            # Copies, since YOLOv5 rewrites damaged images in place.
            shutil.copyfile(sample.path, folder / "images" / task / name)
            # Labels are written anew, so that data sets of other formats can be used too.
            rows = label_rows(sample.classes, sample.boxes, sample.size)
            (folder / "labels" / task / f"{number:06}.txt").write_text(rows)
    content = {
        "path": str(folder),
        "train": "images/train",
        "val": "images/val",
        "names": [*index.names.values()],
    }
    (folder / "data.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "data.yaml", counts["train"], counts["val"]


def make_film(images: list[Path], path: Path, frames: int) -> Path:
    """Write a film that moves over images, one after another, so that no two frames are equal.

    Args:
        images: The images, shown in turn.
        path: File to write, with a suffix that OpenCV knows, such as .mp4.
        frames: Number of frames.

    Raises:
        UserError: This OpenCV cannot write such a file.
    """
    import cv2

    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, FRAMES_PER_SECOND, FILM_SIZE)
    if not writer.isOpened():
        raise UserError(f"{path}: OpenCV cannot write a film here")
    width, height = FILM_SIZE
    for frame in range(frames):
        turn, step = divmod(frame, FRAMES_OF_AN_IMAGE)
        if step == 0:
            image = cv2.imread(str(images[turn % len(images)]))
            if image is None:
                raise UserError(f"{images[turn % len(images)]}: OpenCV cannot read this image")
            wide = cv2.resize(image, (width + FRAMES_OF_AN_IMAGE, height + FRAMES_OF_AN_IMAGE))
        writer.write(np.ascontiguousarray(wide[step : step + height, step : step + width]))
    writer.release()
    return path
