"""The boxes of one image, under the names that Ultralytics' users know."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from utils.boxes import normalise_boxes, xyxy_to_xywh

BOX_COLUMNS, TRACKED_COLUMNS = 6, 7
BoxData = TypeVar("BoxData", Tensor, np.ndarray)


class Boxes(Generic[BoxData]):
    """N boxes of one image. Indexing and slicing return Boxes.

    Attributes:
        data: [N, 6] x1, y1, x2, y2 in pixels of the original image, confidence, class; a tensor or
            an array. A tracker of the user may give [N, 7], with its number before the confidence.
        orig_shape: (height, width) of that image, pixels.
        is_track: whether there are numbers of a tracker.
    """

    def __init__(self, data: BoxData, orig_shape: tuple[int, int]) -> None:
        if data.ndim == 1:
            data = data.reshape(-1, data.shape[0] or BOX_COLUMNS)
        if data.ndim != 2 or data.shape[1] not in (BOX_COLUMNS, TRACKED_COLUMNS):
            raise ValueError(
                f"boxes are {list(data.shape)}, but [N, 6] (x1, y1, x2, y2, confidence, class) or"
                " [N, 7] with a track number before the confidence is needed"
            )
        self.data: BoxData = data
        self.orig_shape = orig_shape
        self.is_track: bool = data.shape[1] == TRACKED_COLUMNS

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Boxes[BoxData]:
        return Boxes(self.data[index], self.orig_shape)

    def __repr__(self) -> str:
        return f"Boxes(orig_shape={self.orig_shape}, data=\n{self.data})"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def xyxy(self) -> BoxData:
        """[N, 4] corners in pixels."""
        return self.data[:, :4]

    @property
    def xywh(self) -> BoxData:
        """[N, 4] centre and size in pixels."""
        return xyxy_to_xywh(self.xyxy)

    @property
    def xyxyn(self) -> BoxData:
        """[N, 4] corners as shares of the image's sides."""
        height, width = self.orig_shape
        corners = self.xyxy * 1.0  # a copy of floating type, since the division is in place
        corners[:, 0::2] /= width
        corners[:, 1::2] /= height
        return corners

    @property
    def xywhn(self) -> BoxData:
        """[N, 4] centre and size as shares of the image's sides."""
        return normalise_boxes(self.xyxy * 1.0, self.orig_shape)

    @property
    def conf(self) -> BoxData:
        """[N] confidences in 0..1, descending."""
        return self.data[:, -2]

    @property
    def cls(self) -> BoxData:
        """[N] class numbers, as floats."""
        return self.data[:, -1]

    @property
    def id(self) -> BoxData | None:
        """[N] numbers of a tracker of the user; None without."""
        return self.data[:, -3] if self.is_track else None

    def tensor(self) -> Tensor:
        """data as a tensor on the CPU."""
        return torch.as_tensor(self.data).cpu()

    def to(self, *args: Any, **options: Any) -> Boxes[Tensor]:
        """Move to another device or type, as torch.Tensor.to does."""
        return Boxes(torch.as_tensor(self.data).to(*args, **options), self.orig_shape)

    def cpu(self) -> Boxes[Tensor] | Boxes[BoxData]:
        return self.to("cpu") if isinstance(self.data, Tensor) else self

    def cuda(self) -> Boxes[Tensor]:
        return self.to("cuda")

    def numpy(self) -> Boxes[np.ndarray]:
        return Boxes(np.asarray(self.tensor().numpy()), self.orig_shape)


AnyBoxes = Boxes[Tensor] | Boxes[np.ndarray]
