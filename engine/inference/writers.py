"""The files that detect.py writes: labels, a table, crops, images and videos.

Frames come from data/sources/open.py with the Detections found in them. The files go below the
run's folder and are named by Frame.name, which no two sources share. All but the table are written
atomically; a video gets its name when it is complete.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.inference.video_file import VideoFile
from utils.boxes import normalise_boxes
from utils.files import atomic_write, make_folder
from utils.structures import Detections, Frame
from utils.text import csv_cell, file_name
from utils.writing import OutputError

CSV_HEADER = ("Image Name", "Prediction", "Confidence")
CROP_GAIN, CROP_PAD, CROP_QUALITY = 1.02, 10, 95
# OpenCV can write these formats; images with another suffix become .jpg.
KEPT_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
LONGEST_STEM = 240  # bytes of a crop's name; file systems take 255 with number and suffix


def result_stem(frame: Frame) -> str:
    """The stem of a frame's own files; frames of videos and streams are numbered."""
    return frame.name if frame.kind == "image" else f"{frame.name}_{frame.number}"


def class_name(detections: Detections, class_id: int) -> str:
    """The name of a class, or its number if it has no name."""
    return detections.names.get(class_id, str(class_id))


def _ascending(detections: Detections) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield (class, confidence, box xyxy in whole pixels) by ascending confidence."""
    # YOLOv5 rounds to whole pixels before it writes shares, and label files should agree with it.
    boxes = np.rint(detections.boxes.cpu().numpy())
    rows = zip(detections.classes.tolist(), detections.scores.tolist(), boxes, strict=True)
    yield from reversed(list(rows))


def label_lines(
    detections: Detections, confidence: bool = False, corners: bool = False
) -> list[str]:
    """The rows of a label file, by ascending confidence: class, box [, confidence].

    Args:
        detections: Detections of one image.
        confidence: Whether rows include it.
        corners: Write x1 y1 x2 y2 instead of centre and size; both are shares of the image.
    """
    height, width = detections.size
    lines = []
    for class_id, score, box in _ascending(detections):
        shares = (
            box / (width, height, width, height)
            if corners
            else normalise_boxes(box, (height, width))
        )
        values = (class_id, *shares.tolist(), *((score,) if confidence else ()))
        lines.append(" ".join(f"{value:g}" for value in values))
    return lines


@dataclass
class LabelWriter:
    """Writes labels/STEM.txt for each frame in which something was found.

    confidence and corners are those of label_lines(); written is the number of files so far.
    """

    folder: Path
    confidence: bool = False
    corners: bool = False
    written: int = 0

    def __call__(self, frame: Frame, detections: Detections) -> None:
        lines = label_lines(detections, self.confidence, self.corners)
        if not lines:
            return
        with atomic_write(make_folder(self.folder) / f"{result_stem(frame)}.txt", "w") as file:
            file.write("\n".join(lines) + "\n")
        self.written += 1


@dataclass
class TableWriter:
    """Writes predictions.csv, a row per detection.

    Rows are appended after each image, so that the results of a stream can be read while it runs.
    """

    path: Path

    def __call__(self, frame: Frame, detections: Detections) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            table.writerow(CSV_HEADER)
        for class_id, score, _ in _ascending(detections):
            table.writerow(
                (
                    csv_cell(Path(frame.path).name),
                    csv_cell(class_name(detections, class_id)),
                    f"{score:.2f}",
                )
            )
        try:
            # An atomic write would copy the whole file for each image, hours of a stream.
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise OutputError(self.path, error) from None


def crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Cut an xyxy box out of an image [H, W, 3], with a margin of 2 % and 10 pixels."""
    low, high = box[:2], box[2:]
    half = ((high - low) * CROP_GAIN + CROP_PAD) / 2
    middle = (low + high) / 2
    height, width = image.shape[:2]
    # At least one pixel remains, even of a box at the edge.
    x1, y1 = np.clip(middle - half, 0, (width - 1, height - 1)).astype(int)
    x2, y2 = np.clip(middle + half, 1, (width, height)).astype(int)
    return image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]


def write_image(path: Path, image: np.ndarray, quality: int = CROP_QUALITY) -> None:
    """Encode an image by the path's suffix and write it atomically.

    Args:
        path: The file to write.
        image: [H, W, 3] uint8 BGR.
        quality: JPEG quality, 0 to 100.

    Raises:
        OutputError: OpenCV cannot encode the image, or the file cannot be written.
    """
    import cv2

    # cv2.imwrite() fails for non-ASCII names on Windows, so OpenCV only encodes here.
    lossy = path.suffix in (".jpg", ".jpeg")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if lossy else []
    try:
        good, content = cv2.imencode(path.suffix.lower(), image, options)
    except cv2.error:  # for example, WebP takes no more than 16383 pixels
        good = False
    if not good:
        reason = "OpenCV cannot encode an image of this size in this format"
        raise OutputError(path, OSError(errno.EINVAL, reason))
    with atomic_write(path) as file:
        file.write(content.tobytes())


@dataclass
class CropWriter:
    """Writes each object as an image of its own: CLASS/STEM.jpg, then STEM2.jpg …

    folder holds a folder for each class; written is the number of files so far.
    """

    folder: Path
    written: int = 0
    _counts: dict[Path, int] = field(default_factory=dict)

    def __call__(self, frame: Frame, detections: Detections) -> None:
        for class_id, _, box in _ascending(detections):
            folder = make_folder(self.folder / _folder_name(class_name(detections, class_id)))
            # Room is left for the number and the suffix.
            stem = file_name(frame.name, limit=LONGEST_STEM)
            write_image(self._free(folder / stem), crop(frame.image, box))
            self.written += 1

    def _free(self, stem: Path) -> Path:
        while True:
            number = self._counts[stem] = self._counts.get(stem, 0) + 1
            path = stem.with_name(f"{stem.name}{number if number > 1 else ''}.jpg")
            if not os.path.lexists(path):
                return path


def _folder_name(text: str) -> str:
    """A class name as one part of a path."""
    # Names come from a checkpoint of unknown origin: "../x" must not leave the folder.
    return file_name(text)


@dataclass
class ImageWriter:
    """Writes annotated images under their own names, and videos and streams as .mp4.

    Videos play at their original speed.
    """

    folder: Path
    _videos: dict[str, VideoFile] = field(default_factory=dict)

    def __call__(self, frame: Frame, drawn: np.ndarray) -> None:
        if frame.kind == "image":
            suffix = Path(frame.path).suffix.lower()
            write_image(
                self.folder / f"{frame.name}{suffix if suffix in KEPT_SUFFIXES else '.jpg'}", drawn
            )
            return
        if frame.kind == "video":  # videos come one after another, so an earlier one is complete
            for name in [name for name in self._videos if name != frame.name]:
                self._videos.pop(name).close()
        if frame.name not in self._videos:
            size = (drawn.shape[1], drawn.shape[0])
            self._videos[frame.name] = VideoFile(self.folder / f"{frame.name}.mp4", frame.fps, size)
        self._videos[frame.name].add(drawn, frame.number)

    def close(self) -> None:
        """Complete the videos, so that they can be played even after Ctrl-C."""
        with contextlib.ExitStack() as stack:  # closes all, even if one fails
            while self._videos:
                stack.callback(self._videos.popitem()[1].close)
