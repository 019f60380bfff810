"""Results: the detections of one image, under the names that Ultralytics' users know.

They are made of Found, which the Detector of engine/inference returns, and are drawn and written by
the functions of detect.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from api.boxes import AnyBoxes, BoxData, Boxes
from api.keywords import KeywordError
from api.plotting import plot_found, plot_options, to_pillow
from api.tables import Tables
from engine.inference.console import Found, Viewer, count_text, why_no_window
from engine.inference.writers import CropWriter, class_name, label_lines, write_image
from utils.files import atomic_write, make_folder
from utils.structures import Detections

# A class statement could not have a field called `class`.
_BoxValues = TypedDict(
    "_BoxValues", {"name": str, "class": int, "confidence": float, "box": dict[str, float]}
)


class BoxSummary(_BoxValues, total=False):
    """One box of Results.summary(), with a number if a tracker of the user gave it one."""

    track_id: int


class Results(Tables):
    """The detections of one image. Iterating, indexing and slicing return Results of fewer boxes.

    Attributes:
        boxes: Boxes, with coordinates, confidences and classes.
        names: class number -> name.
        orig_img: [H, W, 3] uint8 BGR.
        orig_shape: (height, width) in pixels.
        path: path or address of the image.
        speed: milliseconds of preprocess, inference and postprocess.
        save_dir: folder that predict() wrote into; None if it wrote nothing.
        masks, probs, keypoints, obb, semantic_mask, depth: None, since models of this project give
            boxes only.
    """

    masks = probs = keypoints = obb = semantic_mask = depth = None
    columns = ("name", "class", "confidence", "box")

    def __init__(
        self, found: Found, save_dir: Path | None = None, boxes: AnyBoxes | None = None
    ) -> None:
        detections = found.detections
        rows = (
            detections.boxes,
            detections.scores[:, None],
            detections.classes[:, None].to(detections.boxes.dtype),
        )
        self.boxes: AnyBoxes = (
            Boxes(torch.cat(rows, 1), detections.size) if boxes is None else boxes
        )
        self.names, self.orig_shape = detections.names, detections.size
        self.orig_img, self.path = found.frame.image, found.frame.path
        self.save_dir = None if save_dir is None else str(save_dir)
        stages = ("preprocess", "inference", "postprocess")
        self.speed = {
            stage: seconds * 1e3 for stage, seconds in zip(stages, found.times, strict=True)
        }
        self._found, self._folder = found, save_dir

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> Results:
        return self._with_boxes(self.boxes[index])

    def __repr__(self) -> str:
        return f"Results({self.path}: {self.verbose().rstrip(', ')})"

    def _with_boxes(self, boxes: AnyBoxes) -> Results:
        return Results(self._found, self._folder, boxes)

    @property
    def found(self) -> Found:
        """The frame with the detections that are still in boxes."""
        boxes = self.boxes.cpu().to("cpu")
        kept = replace(
            self._found.detections,
            boxes=boxes.xyxy,
            scores=boxes.conf,
            classes=boxes.cls.long(),
            names=self.names,
        )
        return replace(self._found, detections=kept)

    @property
    def detections(self) -> Detections:
        """The boxes as this project's own Detections."""
        return self.found.detections

    def cpu(self) -> Results:
        return self._with_boxes(self.boxes.cpu())

    def cuda(self) -> Results:
        return self._with_boxes(self.boxes.cuda())

    def numpy(self) -> Results:
        return self._with_boxes(self.boxes.numpy())

    def to(self, *args: Any, **options: Any) -> Results:
        """Move the boxes to another device or type, as torch.Tensor.to does."""
        return self._with_boxes(self.boxes.to(*args, **options))

    def new(self) -> Results:
        """The same image without boxes."""
        return self._with_boxes(self.boxes[:0])

    def update(self, boxes: BoxData | None = None, **others: object) -> None:
        """Replace the boxes by data [N, 6], or [N, 7] with the numbers of a tracker.

        Raises KeywordError for masks, probs, obb and keypoints, which there are none of.
        """
        if given := [name for name, value in others.items() if value is not None]:
            raise KeywordError(f"update: {', '.join(given)}: results have boxes only")
        if boxes is not None:
            self.boxes = Boxes(boxes, self.orig_shape)

    def plot(self, *arguments: Any, **options: Any) -> Any:
        """Draw the detections into a copy of the image.

        Args:
            arguments, options: conf, line_width, font_size, pil, img, labels, boxes, color_mode …
                as api.plotting.PlotOptions lists them, in Ultralytics' order.

        Returns:
            [H, W, 3] uint8 BGR, or a Pillow image with pil=True.

        Raises:
            KeywordError: a keyword is unknown or has an impossible value.
        """
        wanted = plot_options(*arguments, **options)
        drawn = plot_found(self.found, wanted)
        if wanted.show:
            self._view(drawn)
        if wanted.save:
            self._write(drawn, wanted.filename)
        return to_pillow(drawn) if wanted.pil else drawn

    def show(self, *arguments: Any, **options: Any) -> None:
        """Show plot(…) in a window for a second; print why if no window is possible."""
        self._view(plot_found(self.found, plot_options(*arguments, **options)))

    def _view(self, drawn: np.ndarray) -> None:
        reason = why_no_window()
        if reason:
            print(f"show: {reason}; use save() instead")
            return
        viewer = Viewer()
        viewer(self._found.frame, drawn)
        viewer.close()

    def save(self, filename: str | Path | None = None, *arguments: Any, **options: Any) -> str:
        """Write plot(…) in the format of the file's suffix, and return its name."""
        drawn = plot_found(self.found, plot_options(*arguments, **options))
        return self._write(drawn, filename)

    def _write(self, drawn: np.ndarray, filename: str | Path | None) -> str:
        path = Path(filename or f"results_{self._found.frame.name}.jpg")
        make_folder(path.parent)
        write_image(path, drawn)
        return str(path)

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Write a row `class x y width height [confidence]` for each box, and return the path.

        Centre and size are shares of the image's sides. Without boxes no file is written.
        """
        path = Path(txt_file)
        lines = label_lines(self.detections, save_conf)
        make_folder(path.parent)
        if lines:
            with atomic_write(path, "w") as file:
                file.write("\n".join(lines) + "\n")
        return str(path)

    def save_crop(self, save_dir: str | Path, file_name: str | Path = "im.jpg") -> None:
        """Write each object as save_dir/CLASS/STEM.jpg, STEM2.jpg …"""
        # The caller's name replaces the frame's own, which CropWriter uses for the file.
        frame = replace(self._found.frame, name=Path(file_name).stem)
        CropWriter(Path(save_dir))(frame, self.detections)

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[BoxSummary]:
        """List the boxes as plain values, rounded to `decimals` decimals.

        With normalize, corners are shares of the image's sides instead of pixels.
        """
        found, boxes = self.detections, self.boxes.xyxyn if normalize else self.boxes.xyxy
        rows: list[BoxSummary] = [
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
                found.classes.tolist(), found.scores.tolist(), boxes.tolist(), strict=True
            )
        ]
        numbers = () if self.boxes.id is None else self.boxes.id.tolist()
        for row, number in zip(rows, numbers, strict=False):
            row["track_id"] = int(number)
        return rows

    def tojson(self, normalize: bool = False, decimals: int = 5) -> str:
        """to_json() under its former name."""
        return self.to_json(normalize, decimals)

    def verbose(self) -> str:
        """The number of boxes of each class: '1 red, 2 greens, ', or '(no detections), '."""
        return count_text(self.detections)
