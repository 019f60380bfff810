"""What YOLO hands out, under the names that Ultralytics' users know: boxes of a image, scores of
an evaluation.

From: Detections of engine/inference and Metrics of engine/evaluation, which hold the same values
under this project's names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.evaluation.confusion import ConfusionMatrix
from utils.boxes import xyxy_to_xywh
from utils.structures import Metrics

COLUMNS = 6
MEANS = ("mp", "mr", "map50", "map")
AT_75 = 5  # number of IoU .75 among .5, .55 … .95


class Boxes:
    """N boxes of one image.

    data: [N, 6] x1, y1, x2, y2 in pixels of the original image, confidence, class; a tensor or an
    array. orig_shape: (height, width) of that image. A box, a slice or a choice of them is Boxes
    again.
    """

    id = None  # nothing here tracks objects
    is_track = False

    def __init__(self, data: Any, orig_shape: tuple[int, int]) -> None:
        self.data, self.orig_shape = data.reshape(-1, COLUMNS), orig_shape

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Boxes:
        return Boxes(self.data[index], self.orig_shape)

    def __repr__(self) -> str:
        return f"Boxes(orig_shape={self.orig_shape}, data=\n{self.data})"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def xyxy(self) -> Any:
        """[N, 4] corners in pixels."""
        return self.data[:, :4]

    @property
    def xywh(self) -> Any:
        """[N, 4] centre and size in pixels."""
        return xyxy_to_xywh(self.xyxy)

    @property
    def xyxyn(self) -> Any:
        """[N, 4] corners as shares of the image's sides."""
        return self.xyxy / self._sides()

    @property
    def xywhn(self) -> Any:
        """[N, 4] centre and size as shares of the image's sides."""
        return self.xywh / self._sides()

    @property
    def conf(self) -> Any:
        """[N] confidences in 0..1, descending."""
        return self.data[:, 4]

    @property
    def cls(self) -> Any:
        """[N] class numbers, as floats."""
        return self.data[:, 5]

    def _sides(self) -> Any:
        height, width = self.orig_shape
        sides = [width, height, width, height]
        return (
            self.data.new_tensor(sides)
            if isinstance(self.data, Tensor)
            else np.array(sides, self.data.dtype)
        )

    def tensor(self) -> Tensor:
        """data as a tensor on the processor."""
        return torch.as_tensor(self.data).cpu()

    def to(self, *args: Any, **options: Any) -> Boxes:
        """On another device or in another type, as torch.Tensor.to."""
        return Boxes(torch.as_tensor(self.data).to(*args, **options), self.orig_shape)

    def cpu(self) -> Boxes:
        return self.to("cpu") if isinstance(self.data, Tensor) else self

    def cuda(self) -> Boxes:
        return self.to("cuda")

    def numpy(self) -> Boxes:
        return (
            Boxes(self.data.cpu().numpy(), self.orig_shape)
            if isinstance(self.data, Tensor)
            else self
        )


class BoxScores:
    """Scores of boxes: means over the classes that have labels, and arrays [C] in the order of
    ap_class_index.
    """

    def __init__(self, metrics: Metrics) -> None:
        curves = metrics.details.curves
        self.map, self.map50 = metrics.map, metrics.map50
        self.map75 = float(curves.ap[:, AT_75].mean()) if len(curves.ap) else 0.0
        self.mp, self.mr = metrics.precision, metrics.recall
        self.maps = metrics.details.class_ap  # [nc]; classes without labels have the mean
        self.ap_class_index = curves.classes
        self.p, self.r, self.f1 = curves.precision, curves.recall, curves.f1
        self.all_ap = curves.ap
        self.ap, self.ap50 = curves.mean_ap, curves.ap[:, 0]

    def mean_results(self) -> list[float]:
        """What class_result gives for a class, as means over all classes that have labels."""
        return [getattr(self, name) for name in MEANS]

    def class_result(self, number: int) -> tuple[float, float, float, float]:
        """(precision, recall, AP50, AP50-95) of the number-th class in ap_class_index."""
        columns = (self.p, self.r, self.ap50, self.ap)
        precision, recall, ap50, ap = (float(column[number]) for column in columns)
        return precision, recall, ap50, ap


class DetMetrics:
    """The result of an evaluation.

    box: its scores. speed: milliseconds a image. confusion_matrix: `.matrix` [nc + 1, nc + 1],
    row predicted, column labelled. metrics: the same as this project's own Metrics. save_dir:
    folder of charts and files.
    """

    keys = ("metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)")

    def __init__(
        self, metrics: Metrics, names: dict[int, str], save_dir: Path | None = None
    ) -> None:
        self.metrics, self.names, self.save_dir = metrics, names, save_dir
        self.box = BoxScores(metrics)
        self.maps, self.ap_class_index = self.box.maps, self.box.ap_class_index
        self.mean_results, self.class_result = self.box.mean_results, self.box.class_result
        self.fitness = metrics.fitness
        stages = {"preprocess": "preprocess", "inference": "inference", "postprocess": "nms"}
        self.speed = {name: metrics.speed_ms.get(stage, 0.0) for name, stage in stages.items()}
        counts = metrics.details.confusion
        self.confusion_matrix = ConfusionMatrix(len(counts) - 1, protocol=metrics.protocol)
        self.confusion_matrix.matrix = counts

    @property
    def results_dict(self) -> dict[str, float]:
        """The means and the fitness by their names in Ultralytics' results.csv."""
        return {
            **dict(zip(self.keys, self.box.mean_results(), strict=True)),
            "fitness": self.fitness,
        }

    def __repr__(self) -> str:
        return f"DetMetrics({', '.join(f'{name} {value:.4g}' for name, value in self.results_dict.items())})"
