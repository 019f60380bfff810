"""Results: one image and what was found in it, under the names that Ultralytics' users know.

From: Found, as the Detector of engine/inference makes it. YOLO hands Results out; drawing and
writing are detect.py's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from api.scores import Boxes
from engine.inference.console import Found, Viewer, annotated, count_text, why_no_window
from engine.inference.writers import CropWriter, class_name, label_lines, write_image
from utils.files import atomic_write, make_folder
from utils.structures import Detections


class Results:
    """One image's detections.

    boxes: Boxes. names: class number -> name. orig_img: [H, W, 3] uint8 BGR. orig_shape: (height,
    width). path: where the image is from. speed: milliseconds of preprocess, inference,
    postprocess. save_dir: folder of what predict() wrote, None if nothing. Iterating, indexing and
    slicing give Results of single or fewer boxes.
    """

    def __init__(
        self, found: Found, save_dir: Path | None = None, boxes: Boxes | None = None
    ) -> None:
        detections = found.detections
        rows = (
            detections.boxes,
            detections.scores[:, None],
            detections.classes[:, None].to(detections.boxes.dtype),
        )
        self.boxes = Boxes(torch.cat(rows, 1), detections.size) if boxes is None else boxes
        self.names, self.orig_img, self.orig_shape = (
            detections.names,
            found.frame.image,
            detections.size,
        )
        self.path, self.save_dir = found.frame.path, None if save_dir is None else str(save_dir)
        stages = ("preprocess", "inference", "postprocess")
        self.speed = {
            stage: seconds * 1e3 for stage, seconds in zip(stages, found.times, strict=True)
        }
        self._found, self._folder = found, save_dir

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> Results:
        return Results(self._found, self._folder, self.boxes[index])

    def __repr__(self) -> str:
        return f"Results({self.path}: {self.verbose().rstrip(', ')})"

    def _now(self) -> Found:
        """What was found, as far as it is still in boxes."""
        data = self.boxes.tensor()
        kept = replace(
            self._found.detections, boxes=data[:, :4], scores=data[:, 4], classes=data[:, 5].long()
        )
        return replace(self._found, detections=kept)

    def _detections(self) -> Detections:
        return self._now().detections

    def cpu(self) -> Results:
        return Results(self._found, self._folder, self.boxes.cpu())

    def cuda(self) -> Results:
        return Results(self._found, self._folder, self.boxes.cuda())

    def numpy(self) -> Results:
        return Results(self._found, self._folder, self.boxes.numpy())

    def to(self, *args: Any, **options: Any) -> Results:
        return Results(self._found, self._folder, self.boxes.to(*args, **options))

    def plot(
        self,
        conf: bool = True,
        line_width: int | None = None,
        labels: bool = True,
        boxes: bool = True,
    ) -> np.ndarray:
        """A copy of the image [H, W, 3] uint8 BGR with what was found. line_width: pixels; None
        suits the image.
        """
        return (
            annotated(self._now(), line_width or 0, labels, conf) if boxes else self.orig_img.copy()
        )

    def show(self, **options: Any) -> None:
        """Show plot(**options) in a window for a second; where there is none, say so."""
        reason = why_no_window()
        if reason:
            print(f"show: {reason}; use save() instead")
            return
        viewer = Viewer()
        viewer(self._found.frame, self.plot(**options))
        viewer.close()

    def save(self, filename: str | Path | None = None, **options: Any) -> str:
        """Write plot(**options) to filename, whose suffix says in which format, and return its
        name.
        """
        path = Path(filename or f"results_{self._found.frame.name}.jpg")
        make_folder(path.parent)
        write_image(path, self.plot(**options))
        return str(path)

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Write rows `class x y width height [confidence]`, shares of the image; without boxes
        there is no file.
        """
        path = Path(txt_file)
        lines = label_lines(self._detections(), save_conf)
        make_folder(path.parent)
        if lines:
            with atomic_write(path, "w") as file:
                file.write("\n".join(lines) + "\n")
        return str(path)

    def save_crop(self, save_dir: str | Path, file_name: str | Path = "im.jpg") -> None:
        """Write each found object as save_dir/CLASS/STEM.jpg, STEM2.jpg …"""
        frame = replace(self._found.frame, name=Path(file_name).stem)
        CropWriter(Path(save_dir))(frame, self._detections())

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """A mapping of name, class, confidence and box (x1, y1, x2, y2; shares if normalize) for
        each box.
        """
        found, rows = (
            self._detections(),
            (self.boxes.xyxyn if normalize else self.boxes.xyxy).tolist(),
        )
        return [
            {
                "name": class_name(found, class_id),
                "class": class_id,
                "confidence": round(score, decimals),
                "box": {
                    key: round(value, decimals)
                    for key, value in zip(("x1", "y1", "x2", "y2"), box, strict=True)
                },
            }
            for class_id, score, box in zip(
                found.classes.tolist(), found.scores.tolist(), rows, strict=True
            )
        ]

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """summary() as JSON."""
        return json.dumps(self.summary(normalize, decimals), indent=2, ensure_ascii=False)

    def verbose(self) -> str:
        """'1 red, 2 greens, ', or '(no detections), '."""
        return count_text(self._detections())
