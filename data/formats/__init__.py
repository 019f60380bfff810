"""The annotation formats: one file each, and the table that names them.

A new format is a file with a DatasetFormat and a line at the end of DATASET_FORMATS. The format of
a data set is detected from the last line to the first, so that `yolo` takes what no other format
recognises.
"""

from __future__ import annotations

from collections.abc import Sequence

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.coco import COCO_FORMAT
from data.formats.format import DatasetFormat, Split
from data.formats.voc import VOC_FORMAT
from data.formats.yolo import YOLO_FORMAT
from data.image_formats import SUFFIXES
from utils.errors import UserError

DATASET_FORMATS: dict[str, DatasetFormat] = {
    "yolo": YOLO_FORMAT,
    "voc": VOC_FORMAT,
    "coco": COCO_FORMAT,
}


def list_split(info: DatasetInfo, task: str) -> tuple[DatasetFormat, Split]:
    """The format of a split and its files.

    Raises UserError if the split, or anything that the YAML names in it, does not exist.
    """
    sources = info.sources(task)
    kind = DATASET_FORMATS[info.format] if info.format else detect_format(info, sources)
    split = kind.list_split(info, sources)
    if not split.stamped:
        where = ", ".join(source.images or source.annotations for source in sources)
        raise UserError(
            f"{info.path}: {task}: {where} holds no images ({' '.join(sorted(SUFFIXES))}); check"
            " the path"
        )
    return kind, split


def detect_format(info: DatasetInfo, sources: Sequence[SplitSource]) -> DatasetFormat:
    """The format that the entries of a split look like."""
    asked = reversed(DATASET_FORMATS.values())
    return next((kind for kind in asked if kind.detect(info, sources)), YOLO_FORMAT)
