"""torch.hub entry points: a model that takes images as they are and answers as YOLOv5's hub
models do.

    from torch.hub import load
    model = load("path/of/this/project", "custom", path="best.pt", source="local")
    results = model("image.jpg", size=640)
    results.pandas().xyxy[0]

From: data/sources/memory.py (arrays are RGB here). Through: the Detector of engine/inference.
Nothing is downloaded: without a local checkpoint, weights are random.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from api.results import Results
from data.sources.memory import open_any
from engine.inference.detector import Detector
from engine.inference.settings import USUAL_SIZE, DetectConfig
from engine.inference.writers import CropWriter, class_name, crop
from models.graph.read import load_graph
from models.weights.load import load_model, read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.boxes import xyxy_to_xywh
from utils.cli import build
from utils.device import select_device
from utils.errors import UserError
from utils.families import Family
from utils.files import find_file, next_folder
from utils.nms import NMSSettings

dependencies = ["torch", "torchvision", "numpy", "cv2", "yaml"]
CORNERS, CENTRES = ("xmin", "ymin", "xmax", "ymax"), ("xcenter", "ycenter", "width", "height")
FORMS = ("xyxy", "xyxyn", "xywh", "xywhn")


class MultiLabelConfig(DetectConfig):
    """detect.py's settings, but a box may be of several classes. No dataclass: torch.hub hides this
    file from those.
    """

    def nms(self, family: Family) -> NMSSettings:
        return dataclasses.replace(super().nms(family), multi_label=True)


class AutoShape(nn.Module):
    """A detector that takes images of any size and kind.

    conf, iou, classes, max_det, multi_label, agnostic, amp may be set at any time. names: class
    number -> name.
    """

    def __init__(self, model: DetectionModel) -> None:
        super().__init__()
        self.model, self.names, self.stride = model.eval(), model.names, model.stride
        self.conf, self.iou, self.max_det = 0.25, model.family.detection_iou, 1000
        self.classes: Sequence[int] | None = None
        self.multi_label = self.agnostic = self.amp = False

    def forward(
        self, ims: Any, size: int | tuple[int, int] = USUAL_SIZE, augment: bool = False
    ) -> HubResults:
        """ims: a path, URL, Pillow image, RGB array [H, W, 3], float tensor [B, 3, H, W], or a
        list of such.

        size: of the longer side that the network sees, pixels; or (height, width).
        """
        sides = tuple(size) if isinstance(size, (list, tuple)) else (size,)
        config = build(
            MultiLabelConfig if self.multi_label else DetectConfig,
            {
                "imgsz": sides,
                "conf_thres": self.conf,
                "iou_thres": self.iou,
                "max_det": self.max_det,
                "half": self.amp,
                "augment": augment,
                "agnostic_nms": self.agnostic,
                "classes": tuple(self.classes or ()),
            },
        )
        source, detector = open_any(ims, rgb=True), Detector(self.model, config)
        try:
            found = [detector(frame) for frame in source]
        finally:
            source.close()
        if not found:
            path, reason = (
                source.skipped[0] if source.skipped else ("the source", "it gave no frame")
            )
            raise UserError(f"{path}: nothing could be read; {reason}")
        return HubResults([Results(one) for one in found], detector.shape)


class HubResults:
    """What was found in n images.

    xyxy, xywh (pixels), xyxyn, xywhn (shares): lists of [m, 6] tensors, box, confidence, class.
    ims: the images as RGB arrays. names: class number -> name. files: their names. t:
    milliseconds a image of each stage.
    """

    def __init__(self, results: Sequence[Results], shape: tuple[int, int] = (0, 0)) -> None:
        self.results, self.names, self.n = list(results), results[0].names, len(results)
        self.ims = [np.ascontiguousarray(result.orig_img[..., ::-1]) for result in results]
        self.files = [Path(result.path).name for result in results]
        self.pred = self.xyxy = [result.boxes.tensor() for result in results]
        sides = [torch.tensor([*reversed(result.orig_shape)] * 2).float() for result in results]
        self.xywh = [_form(rows, xyxy_to_xywh(rows[:, :4])) for rows in self.xyxy]
        self.xyxyn = [
            _form(rows, rows[:, :4] / side) for rows, side in zip(self.xyxy, sides, strict=True)
        ]
        self.xywhn = [
            _form(rows, rows[:, :4] / side) for rows, side in zip(self.xywh, sides, strict=True)
        ]
        stages = zip(*(result.speed.values() for result in results), strict=True)
        self.t = tuple(sum(times) / self.n for times in stages)
        self.s = (self.n, 3, *shape)

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
        return "\n".join(
            [
                *lines,
                (
                    f"Speed: {before:.1f}ms pre-process, {model:.1f}ms inference, {after:.1f}ms NMS"
                    f" per image at shape {self.s}"
                ),
            ]
        )

    def print(self) -> None:
        print(self)

    def tolist(self) -> list[HubResults]:
        """One HubResults for each image."""
        return [HubResults([result], (self.s[2], self.s[3])) for result in self.results]

    def pandas(self) -> HubTables:
        """The same boxes as tables."""
        return HubTables(self)

    def render(self, labels: bool = True) -> list[np.ndarray]:
        """The images, RGB, with boxes in them; they take the place of ims."""
        self.ims = [
            np.ascontiguousarray(result.plot(labels=labels)[..., ::-1]) for result in self.results
        ]
        return self.ims

    def show(self, labels: bool = True) -> None:
        for result in self.results:
            result.show(labels=labels)

    def save(
        self, labels: bool = True, save_dir: str | Path = "runs/detect/exp", exist_ok: bool = False
    ) -> Path:
        """Write the images with boxes in them, and return their folder."""
        folder = next_folder(Path(save_dir).parent, Path(save_dir).name, exist_ok)
        for result in self.results:
            result.save(folder / f"{result._found.frame.name}.jpg", labels=labels)
        print(f"Saved {self.n} image{'s' if self.n > 1 else ''} to {folder}")
        return folder

    def crop(
        self, save: bool = True, save_dir: str | Path = "runs/detect/exp", exist_ok: bool = False
    ) -> list[dict[str, Any]]:
        """Each object as {box, conf, cls, label, im (BGR)}; save also writes them below
        save_dir/crops.
        """
        place = Path(save_dir)
        writer = (
            CropWriter(next_folder(place.parent, place.name, exist_ok) / "crops") if save else None
        )
        found = []
        for result in self.results:
            detections = result._detections()
            if writer is not None:
                writer(result._found.frame, detections)
            for box, score, class_id in zip(
                detections.boxes, detections.scores, detections.classes, strict=True
            ):
                label = f"{class_name(detections, int(class_id))} {float(score):.2f}"
                part = crop(result.orig_img, box.numpy())
                found.append(
                    {"box": box, "conf": score, "cls": class_id, "label": label, "im": part}
                )
        return found


class HubTables:
    """xyxy, xyxyn, xywh, xywhn: a pandas.DataFrame a image, columns of the box, confidence,
    class, name.
    """

    def __init__(self, results: HubResults) -> None:
        import pandas

        self.names, self.n = results.names, results.n
        for form in FORMS:
            columns = [
                *(CORNERS if form.startswith("xyxy") else CENTRES),
                "confidence",
                "class",
                "name",
            ]
            tables = [_records(rows, results.names) for rows in getattr(results, form)]
            setattr(self, form, [pandas.DataFrame(table, columns=columns) for table in tables])


def _form(rows: Tensor, boxes: Tensor) -> Tensor:
    return torch.cat((boxes, rows[:, 4:]), 1)


def _records(rows: Tensor, names: dict[int, str]) -> list[list[Any]]:
    return [
        [*row[:5], int(row[5]), names.get(int(row[5]), str(int(row[5])))] for row in rows.tolist()
    ]


def custom(
    path: str | Path, autoshape: bool = True, _verbose: bool = True, device: Any = None
) -> nn.Module:
    """The model of a local checkpoint (or of a model YAML, with random weights)."""
    return _finish(
        load_model(path, select_device("" if device is None else str(device))), autoshape
    )


def _finish(model: DetectionModel, autoshape: bool) -> nn.Module:
    return AutoShape(model) if autoshape else model


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool | str | Path = True, channels: int = 3, classes: int | None = None, autoshape: bool = True,
        _verbose: bool = True, device: Any = None,
    ) -> nn.Module:  # fmt: skip
        path = find_file(pretrained) if isinstance(pretrained, (str, Path)) else None
        source = with_graph(read_weights(path), load_graph(f"{name}.yaml"), path) if path else None
        count = classes or (len(source.names) if source else None)
        named = source.names if source and len(source.names) == count else None
        model = DetectionModel(
            load_graph(f"{name}.yaml"), channels=channels, class_count=count, names=named
        )
        if source:
            print(f"{name}: {transfer(model, source).line(str(path))}")
        elif pretrained:
            print(
                f"{name}: random weights, nothing is downloaded; give pretrained='FILE.pt', or use"
                " custom('FILE.pt')"
            )
        ready = model.to(select_device("" if device is None else str(device)))
        return _finish(ready.fuse().eval(), True) if autoshape else ready

    create.__name__ = name
    create.__doc__ = f"""{name}. pretrained: a local checkpoint, else weights are random. classes: their number; if
    left out, the checkpoint's, or 80. autoshape: take images as they are; False gives the bare network. device: as 0
    or cpu."""
    return create


yolov5n, yolov5s, yolov5m, yolov5l, yolov5x = (_entry(f"yolov5{size}") for size in "nsmlx")
yolov8n, yolov8s, yolov8m, yolov8l, yolov8x = (_entry(f"yolov8{size}") for size in "nsmlx")
yolo11n, yolo11s, yolo11m, yolo11l, yolo11x = (_entry(f"yolo11{size}") for size in "nsmlx")
