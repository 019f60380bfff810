"""Results of the torch.hub models, under the names that YOLOv5's users know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch import Tensor

from api.results import Results
from engine.inference.writers import CropWriter, class_name, crop
from utils.boxes import xyxy_to_xywh
from utils.files import next_folder
from utils.text import counted

if TYPE_CHECKING:
    from pandas import DataFrame

CORNERS, CENTRES = ("xmin", "ymin", "xmax", "ymax"), ("xcenter", "ycenter", "width", "height")


class HubCrop(TypedDict):
    """One object cut out of its image."""

    box: Tensor  # [4] corners in pixels
    conf: Tensor  # confidence, 0..1
    cls: Tensor  # class number
    label: str  # "name confidence"
    im: np.ndarray  # [h, w, 3] uint8 BGR


class HubResults:
    """The detections of n images. Iterating yields HubResults of single images.

    Attributes:
        xyxy, xywh: for each image a tensor [m, 6], box in pixels, confidence, class. pred is xyxy.
        xyxyn, xywhn: the same with boxes as shares of the image's sides.
        ims: images [H, W, 3], uint8 RGB.
        files: names of the images.
        names: class number -> name.
        t: milliseconds per image of preprocess, inference and postprocess.
        s: (n, channels, height, width) of the network's input.
    """

    def __init__(
        self, results: Sequence[Results], shape: tuple[int, int] = (0, 0), channels: int = 3
    ) -> None:
        self.results, self.names, self.n = list(results), results[0].names, len(results)
        # YOLOv5's hub models show RGB; the rest of the project works in BGR.
        self.ims = [np.ascontiguousarray(result.orig_img[..., ::-1]) for result in results]
        self.files = [Path(result.path).name for result in results]
        self.pred = self.xyxy = [result.boxes.tensor() for result in results]
        sides = [torch.tensor([*reversed(result.orig_shape)] * 2).float() for result in results]
        self.xywh = [_with_boxes(rows, xyxy_to_xywh(rows[:, :4])) for rows in self.xyxy]
        self.xyxyn = [
            _with_boxes(rows, rows[:, :4] / side)
            for rows, side in zip(self.xyxy, sides, strict=True)
        ]
        self.xywhn = [
            _with_boxes(rows, rows[:, :4] / side)
            for rows, side in zip(self.xywh, sides, strict=True)
        ]
        stages = zip(*(result.speed.values() for result in results), strict=True)
        self.t = tuple(sum(times) / self.n for times in stages)
        self.s = (self.n, channels, *shape)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[HubResults]:
        return iter(self.tolist())

    def __str__(self) -> str:
        lines = [
            f"image {number}/{self.n}: {result.orig_shape[0]}x{result.orig_shape[1]}"
            f" {result.verbose()[:-2]}"
            for number, result in enumerate(self.results, 1)
        ]
        before, model, after = self.t
        lines.append(
            f"Speed: {before:.1f}ms pre-process, {model:.1f}ms inference, {after:.1f}ms NMS"
            f" per image at shape {self.s}"
        )
        return "\n".join(lines)

    def print(self) -> None:
        print(self)

    def tolist(self) -> list[HubResults]:
        """HubResults of each image."""
        _, channels, *shape = self.s
        return [HubResults([result], (shape[0], shape[1]), channels) for result in self.results]

    def pandas(self) -> HubTables:
        """The same boxes as tables."""
        return HubTables(self)

    def render(self, labels: bool = True) -> list[np.ndarray]:
        """Draw boxes into the images, which replace ims from then on."""
        self.ims = [
            np.ascontiguousarray(result.plot(labels=labels)[..., ::-1]) for result in self.results
        ]
        return self.ims

    def show(self, labels: bool = True) -> None:
        """Show each image with its boxes in a window for a second."""
        for result in self.results:
            result.show(labels=labels)

    def save(
        self, labels: bool = True, save_dir: str | Path = "runs/detect/exp", exist_ok: bool = False
    ) -> Path:
        """Write the images with boxes.

        Args:
            labels: whether boxes have labels.
            save_dir: folder of the images.
            exist_ok: whether to write into save_dir even if it exists; else a number is added.

        Returns:
            The folder.
        """
        folder = next_folder(Path(save_dir).parent, Path(save_dir).name, exist_ok)
        for result in self.results:
            result.save(folder / f"{result.found.frame.name}.jpg", labels=labels)
        print(f"Saved {counted(self.n, 'image')} to {folder}")
        return folder

    def crop(
        self, save: bool = True, save_dir: str | Path = "runs/detect/exp", exist_ok: bool = False
    ) -> list[HubCrop]:
        """Cut each object out of its image.

        Args:
            save: whether to write them below save_dir/crops too.
            save_dir: folder of the run.
            exist_ok: whether to write into save_dir even if it exists; else a number is added.

        Returns:
            One entry per object, in the order of images and boxes.
        """
        place = Path(save_dir)
        writer = (
            CropWriter(next_folder(place.parent, place.name, exist_ok) / "crops") if save else None
        )
        cut: list[HubCrop] = []
        for result in self.results:
            found = result.detections
            if writer is not None:
                writer(result.found.frame, found)
            for box, score, class_id in zip(found.boxes, found.scores, found.classes, strict=True):
                label = f"{class_name(found, int(class_id))} {float(score):.2f}"
                part = crop(result.orig_img, box.numpy())
                cut.append({"box": box, "conf": score, "cls": class_id, "label": label, "im": part})
        return cut


class HubTables:
    """For each form of boxes, a list with a pandas.DataFrame per image.

    The columns are the four of the box, confidence, class and name.
    """

    def __init__(self, results: HubResults) -> None:
        self.names, self.n = results.names, results.n
        self.xyxy = self._tables(results.xyxy, CORNERS)
        self.xyxyn = self._tables(results.xyxyn, CORNERS)
        self.xywh = self._tables(results.xywh, CENTRES)
        self.xywhn = self._tables(results.xywhn, CENTRES)

    def _tables(self, images: Sequence[Tensor], columns: Sequence[str]) -> list[DataFrame]:
        from pandas import DataFrame

        heads = [*columns, "confidence", "class", "name"]
        return [DataFrame(self._records(rows), columns=heads) for rows in images]

    def _records(self, rows: Tensor) -> list[list[float | int | str]]:
        return [
            [*row[:5], int(row[5]), self.names.get(int(row[5]), str(int(row[5])))]
            for row in rows.tolist()
        ]


def _with_boxes(rows: Tensor, boxes: Tensor) -> Tensor:
    """Replace the first four columns of rows [m, 6] by boxes [m, 4]."""
    return torch.cat((boxes, rows[:, 4:]), 1)
