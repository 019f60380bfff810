"""Dataset YAML -> images and labels in packed arrays, a DatasetIndex: the light list that
data/dataset.py reads from.

A image costs its path, its size and 24 bytes a box: 100,000 images take tens of megabytes, and
go to a worker as a dozen buffers. The scan behind it (data/formats/listing.py,
data/scanning/scan.py) is kept in a cache of the project's own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from data.dataset_yaml import DatasetInfo, read_dataset_yaml
from data.formats.listing import Opened, Split, list_split
from data.formats.yolo import UNKNOWN_CLASS, LabelError, label_path, parse_rows
from data.report import ScanReport
from data.scanning.cache import cache_path, read_cache, state_of, write_cache
from data.scanning.scan import scan
from utils.errors import UserError
from utils.structures import Sample

__all__ = ["DatasetIndex", "DatasetInfo", "load_dataset", "read_dataset_yaml"]
SINGLE_CLASS = {0: "item"}
MIN_VISIBLE_PX = 3  # objects with a side below this are hardly learnt


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """n images with M boxes in all.

    names: class number -> name. sizes: [n, 2] int32 (height, width). boxes: [M, 4] float32 xyxy,
    pixels of the original image. classes: [M] int64. offsets: [n+1] int64, boxes
    offsets[i]:offsets[i+1] belong to image i. path_bytes, path_offsets [n+1]: all paths in one
    array. points [P, 2] float32, point_offsets [M+1]: a polygon for each box, no points if it has
    none. report: what the scan met.
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

    @classmethod
    def pack(
        cls, samples: Sequence[Sample], names: dict[int, str], report: ScanReport | None = None
    ) -> DatasetIndex:
        """The index of samples, in their order."""
        paths = [os.fsencode(sample.path) for sample in samples]
        segments = [
            segment
            for sample in samples
            for segment in sample.segments or [NO_POINTS] * len(sample.classes)
        ]
        return cls(
            names,
            np.array([sample.size for sample in samples], np.int32).reshape(-1, 2),
            np.concatenate([NO_BOXES, *(sample.boxes for sample in samples)]).astype(
                np.float32, copy=False
            ),
            np.concatenate([NO_CLASSES, *(sample.classes for sample in samples)]).astype(
                np.int64, copy=False
            ),
            _offsets(len(sample.classes) for sample in samples),
            np.frombuffer(b"".join(paths), np.uint8),
            _offsets(map(len, paths)),
            np.concatenate([NO_POINTS, *segments]).astype(np.float32, copy=False),
            _offsets(map(len, segments)),
            report or ScanReport(total=len(samples), found=len(samples)),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> Sample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"image {number} of {len(self)}")
        number = int(number) % len(self)
        rows = slice(*self.offsets[number : number + 2])
        ends = self.point_offsets[rows.start : rows.stop + 1]
        segments = tuple(self.points[a:b] for a, b in pairwise(ends)) if np.ptp(ends) else ()
        height, width = self.sizes[number].tolist()
        return Sample(
            self.path(number), (height, width), self.boxes[rows], self.classes[rows], segments
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    def path(self, number: int) -> str:
        """Where image `number` is."""
        return os.fsdecode(
            self.path_bytes[slice(*self.path_offsets[number : number + 2])].tobytes()
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, paths, sizes and labels: two runs with the same digest saw the same
        data set.
        """
        state = hashlib.sha256(repr(self.names).encode())
        for name, array in self.arrays().items():
            state.update(
                name.encode() + str(array.shape).encode() + np.ascontiguousarray(array).tobytes()
            )
        return state.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by its field's name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def subset(self, indices: Sequence[int] | np.ndarray) -> DatasetIndex:
        """The index of these images only, in this order."""
        return DatasetIndex.pack([self[int(number)] for number in indices], self.names, self.report)

    def as_single_class(self) -> DatasetIndex:
        """Every object becomes class 0; a single class keeps its name."""
        names = self.names if len(self.names) == 1 else SINGLE_CLASS
        return replace(self, names=names, classes=np.zeros_like(self.classes))


NO_BOXES = np.zeros((0, 4), np.float32)
NO_CLASSES = np.zeros(0, np.int64)
NO_POINTS = np.zeros((0, 2), np.float32)


def _offsets(lengths: Iterator[int] | map[int]) -> np.ndarray:
    return np.array([0, *accumulate(lengths)], np.int64)


def load_dataset(
    path_yaml: str | Path, task: str, *, single_cls: bool = False, imgsz_hint: int | None = None
) -> DatasetIndex:
    """Index one split ("train", "val" or "test") of a dataset YAML, from the cache if nothing has
    changed.

    imgsz_hint: the size that images will be trained at; objects too small to see there are
    counted in the report. Raises UserError when there is nothing to work with: no folder, no
    image, no label file, a class beyond names.
    """
    info = read_dataset_yaml(path_yaml)
    if info.generator:
        _generate(info)
    index = load_split(info, task, single_cls)
    return _note_small(index, imgsz_hint) if imgsz_hint else index


def load_split(info: DatasetInfo, task: str, single_cls: bool = False) -> DatasetIndex:
    """load_dataset for a YAML that is read already. Raises UserError as it does."""
    split = list_split(info, task)
    index = _load_cached(info, task, split)
    if single_cls:
        index = index.as_single_class()
    else:
        _check_classes(index, info)
    _check_usable(index, info, task, split)
    return index


def _note_small(index: DatasetIndex, imgsz: int) -> DatasetIndex:
    """Say in the report how many objects nearly vanish when images are scaled to imgsz pixels."""
    gains = imgsz / index.sizes.max(axis=1)
    sides = (index.boxes[:, 2:] - index.boxes[:, :2]).min(axis=1) * np.repeat(
        gains, np.diff(index.offsets)
    )
    small = int((sides < MIN_VISIBLE_PX).sum())
    if not small:
        return index
    note = (
        f"{small:,} of {len(sides):,} objects have a side below {MIN_VISIBLE_PX} pixels at --imgsz"
        f" {imgsz}"
    )
    return replace(index, report=replace(index.report, notes=(*index.report.notes, note)))


def _generate(info: DatasetInfo) -> None:
    if info.generator != "shapes":
        raise UserError(
            f"{info.path}: generate: {info.generator} is unknown; the one generator is `shapes`"
        )
    from data.synthetic.shapes import generate

    generate(info.bases[0])


def _load_cached(info: DatasetInfo, task: str, split: Split) -> DatasetIndex:
    state = state_of(split.stamped, split.format, *info.names.values())
    file = cache_path(f"{info.path} {task} {split.format}")
    arrays, why = read_cache(file, state)
    if arrays is not None:
        report = ScanReport.from_json(arrays.pop("report").tobytes(), "from the cache")
        return DatasetIndex(info.names, **arrays, report=report)
    index = _scan_index(info, f"{info.path.stem} {task}", split.open())
    if why:
        index = replace(index, report=replace(index.report, origin=f"scanned again: {why}"))
    packed = {**index.arrays(), "report": np.frombuffer(index.report.to_json(), np.uint8)}
    write_cache(file, state, packed)
    return index


def _scan_index(info: DatasetInfo, title: str, opened: Opened) -> DatasetIndex:
    records, report = scan(opened, title)
    samples = [
        Sample(
            record.path,
            record.size,
            record.labels.boxes,
            record.labels.classes,
            record.labels.segments,
        )
        for record in records
        if record.size is not None and record.labels is not None
    ]
    return DatasetIndex.pack(samples, info.names, report)


def _check_classes(index: DatasetIndex, info: DatasetInfo) -> None:
    """Raise UserError naming the label file and row of the first class that names does not list."""
    beyond = np.flatnonzero(index.classes >= len(info.names))
    if not len(beyond):
        return
    number = int(np.searchsorted(index.offsets, beyond[0], side="right")) - 1
    file = label_path(index.path(number))
    row, value = _find_class(file, len(info.names))
    last = len(info.names) - 1
    raise UserError(
        f"{file}: row {row}: class {value}, but {info.path} lists {len(info.names)} names (0 to"
        f" {last}); correct the row, or add the class to names"
    )


def _find_class(file: str, class_count: int) -> tuple[int, str]:
    try:
        rows = parse_rows(Path(file).read_bytes())
    except (OSError, LabelError):  # changed since the scan
        return 0, f"of {class_count} or more"
    at = next((at for at, value in enumerate(rows.values[:, 0]) if value >= class_count), 0)
    return rows.numbers[at], f"{rows.values[at, 0]:g}"


def _check_usable(index: DatasetIndex, info: DatasetInfo, task: str, split: Split) -> None:
    """Raise UserError when no image or no label is left."""
    report = index.report
    if not len(index):
        first = next(iter(report.entries), None)
        why = f"; the first, {first.file}: {first.reason}" if first else ""
        raise UserError(f"{info.path}: {task}: none of {report.total} images can be used{why}")
    if not report.found:
        rule = (
            f"{split.rule}, e.g. {split.stamped[-report.total]}"
            if split.format != "coco"
            else split.rule
        )
        raise UserError(
            f"{info.path}: {task}: none of {report.total} images has a label file; {rule}"
        )
    unknown = [entry.kind for entry in report.entries if entry.kind.startswith(UNKNOWN_CLASS)]
    strange = sorted({kind.removeprefix(UNKNOWN_CLASS) for kind in unknown})
    if not len(index.classes) and strange:
        raise UserError(
            f"{info.path}: no label is of a class in names; the label files"
            f" have{','.join(strange)[:200]}"
        )
