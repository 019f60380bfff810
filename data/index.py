"""The index of a data set: paths, sizes and labels of all images in a dozen packed arrays.

data/scanning/load.py makes it from a dataset YAML; data/dataset.py reads items from it. An image
takes its path, its size and 32 bytes per box, so that 100,000 images fit into tens of megabytes,
and reach a worker process as a few buffers instead of a million objects.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from data.report import ScanReport
from data.sample import Sample

SINGLE_CLASS = {0: "item"}
_NO_BOXES = np.zeros((0, 4), np.float32)
_NO_CLASSES = np.zeros(0, np.int64)
_FORMS: dict[str, tuple[type, tuple[int, ...]]] = {  # type and shape of a row of each array
    "sizes": (np.int32, (2,)),
    "boxes": (np.float32, (4,)),
    "classes": (np.int64, ()),
    "offsets": (np.int64, ()),
    "path_bytes": (np.uint8, ()),
    "path_offsets": (np.int64, ()),
    "points": (np.float32, (2,)),
    "point_offsets": (np.int64, ()),
    "ignored": (np.float32, (6,)),
    "ignored_images": (np.int64, ()),
}
_NO_POINTS = np.zeros((0, 2), np.float32)
_NO_IGNORED = np.zeros((0, 6), np.float32)


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """n images with M boxes in all.

    Attributes:
        names: Class number -> name.
        sizes: [n, 2] int32 (height, width), pixels, after EXIF rotation.
        boxes: [M, 4] float32 xyxy, pixels of the original image.
        classes: [M] int64.
        offsets: [n+1] int64; boxes offsets[i]:offsets[i+1] belong to image i.
        path_bytes: All paths in one array of uint8.
        path_offsets: [n+1] int64; path_bytes path_offsets[i]:path_offsets[i+1] are image i's path.
        points: [P, 2] float32, the corners of all polygons, pixels.
        point_offsets: [M+1] int64; points point_offsets[k]:point_offsets[k+1] are the polygon of
            box k, none if it has only the box.
        report: The findings of the scan.
        ignored: [K, 6] float32, objects that are neither learnt nor scored, such as VOC's difficult
            ones: class, xyxy in pixels of the original image, and 1 for a crowd.
        ignored_images: [K] int64, the image of each, ascending.
    """

    names: dict[int, str]
    sizes: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    offsets: np.ndarray
    path_bytes: np.ndarray
    path_offsets: np.ndarray
    points: np.ndarray
    point_offsets: np.ndarray
    report: ScanReport = field(default_factory=ScanReport)
    ignored: np.ndarray = field(default_factory=lambda: _NO_IGNORED)
    ignored_images: np.ndarray = field(default_factory=lambda: _NO_CLASSES)

    @classmethod
    def pack(
        cls, samples: Sequence[Sample], names: dict[int, str], report: ScanReport | None = None
    ) -> DatasetIndex:
        """Pack samples into an index.

        Args:
            samples: The images in the order of the index.
            names: Class number -> name.
            report: The findings of the scan; by default every sample has a label file.

        Returns:
            The index, with copies of the samples' arrays.
        """
        paths = [os.fsencode(sample.path) for sample in samples]
        segments = [
            segment
            for sample in samples
            for segment in sample.segments or [_NO_POINTS] * len(sample.classes)
        ]
        boxes = np.concatenate([_NO_BOXES, *(sample.boxes for sample in samples)])
        classes = np.concatenate([_NO_CLASSES, *(sample.classes for sample in samples)])
        return cls(
            names,
            np.array([sample.size for sample in samples], np.int32).reshape(-1, 2),
            boxes.astype(np.float32, copy=False),
            classes.astype(np.int64, copy=False),
            _offsets(len(sample.classes) for sample in samples),
            np.frombuffer(b"".join(paths), np.uint8),
            _offsets(map(len, paths)),
            np.concatenate([_NO_POINTS, *segments]).astype(np.float32, copy=False),
            _offsets(map(len, segments)),
            report or ScanReport(total=len(samples), found=len(samples)),
            np.concatenate([_NO_IGNORED, *(sample.ignored for sample in samples)]),
            np.arange(len(samples)).repeat([len(sample.ignored) for sample in samples]),
        )

    @classmethod
    def join(
        cls, parts: Sequence[DatasetIndex], names: dict[int, str], report: ScanReport
    ) -> DatasetIndex:
        """The index of the images of all parts, in order.

        Args:
            parts: The indices, whose own names and reports are not read.
            names: Class number -> name.
            report: The findings of the scan of all parts.
        """
        parts = parts or [cls.pack([], names)]
        arrays = {}
        for name in _FORMS:
            columns = [getattr(part, name) for part in parts]
            if name.endswith("offsets"):
                lengths = np.concatenate([np.diff(column) for column in columns])
                arrays[name] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            else:
                arrays[name] = np.concatenate(columns)
        before = np.array([0, *accumulate(map(len, parts))][:-1])
        arrays["ignored_images"] += before.repeat([len(part.ignored) for part in parts])
        return cls(names, **arrays, report=report)

    def check(self) -> None:
        """Raise ValueError unless the arrays have their types and fit together."""
        ends = (
            (self.offsets, len(self.sizes), len(self.boxes)),
            (self.path_offsets, len(self.sizes), len(self.path_bytes)),
            (self.point_offsets, len(self.boxes), len(self.points)),
        )
        whole = all(
            at.shape == (count + 1,) and at[0] == 0 and at[-1] == last and (np.diff(at) >= 0).all()
            for at, count, last in ends
        )
        for name, (kind, tail) in _FORMS.items():
            array = getattr(self, name)
            whole = whole and array.dtype == kind and array.shape[1:] == tail and array.ndim > 0
        owners = self.ignored_images
        whole = whole and len(owners) == len(self.ignored) and bool((np.diff(owners) >= 0).all())
        whole = whole and not len(owners[(owners < 0) | (owners >= len(self.sizes))])
        if not whole or len(self.classes) != len(self.boxes) or (self.sizes <= 0).any():
            raise ValueError("the arrays of the index do not fit together")

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> Sample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"image {number} of {len(self)}")
        number = int(number) % len(self)
        rows = slice(*self.offsets[number : number + 2])
        ends = self.point_offsets[rows.start : rows.stop + 1]
        # Equal ends mean that no box of this image has a polygon.
        segments = tuple(self.points[a:b] for a, b in pairwise(ends)) if ends[-1] > ends[0] else ()
        height, width = self.sizes[number].tolist()
        return Sample(
            self.path(number), (height, width), self.boxes[rows], self.classes[rows], segments,
            self.ignored_of(number),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    def path(self, number: int) -> str:
        """The path of image `number`."""
        part = slice(*self.path_offsets[number : number + 2])
        return os.fsdecode(self.path_bytes[part].tobytes())

    def ignored_of(self, number: int) -> np.ndarray:
        """The rows of `ignored` that belong to image `number`."""
        if not len(self.ignored):  # as in most data sets
            return self.ignored
        first, end = np.searchsorted(self.ignored_images, (number, number + 1))
        return self.ignored[first:end]

    def ignored_rows(self, numbers: Sequence[int]) -> np.ndarray:
        """Batch.ignored [K, 7] for a batch of these images."""
        if not len(self.ignored):
            return np.zeros((0, 7), np.float32)
        rows = [np.insert(self.ignored_of(i), 0, at, axis=1) for at, i in enumerate(numbers)]
        return np.concatenate([np.zeros((0, 7), np.float32), *rows])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, paths, sizes and labels, by which runs compare their data."""
        state = hashlib.sha256(repr(self.names).encode())
        for name, array in self.arrays().items():
            if name.startswith("ignored") and not len(array):
                continue  # so that sets without such objects keep the digests of older runs
            state.update(name.encode() + str(array.shape).encode())
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by the name of its field."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def subset(self, indices: Sequence[int] | np.ndarray) -> DatasetIndex:
        """The index of these images only, in this order."""
        return DatasetIndex.pack([self[int(number)] for number in indices], self.names, self.report)

    def as_single_class(self) -> DatasetIndex:
        """An index in which every object has class 0; a single class keeps its name."""
        names = self.names if len(self.names) == 1 else SINGLE_CLASS
        ignored = self.ignored.copy()
        ignored[:, 0] = 0
        return replace(self, names=names, classes=np.zeros_like(self.classes), ignored=ignored)


def _offsets(lengths: Iterable[int]) -> np.ndarray:
    return np.array([0, *accumulate(lengths)], np.int64)
