"""Dataset YAML -> DatasetIndex: list the files, take the cache or scan, and check the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from data.class_names import repeated_names
from data.dataset_info import DatasetInfo
from data.dataset_yaml import read_dataset_yaml
from data.formats import list_split
from data.formats.format import DatasetFormat, Split
from data.formats.labels import UNKNOWN_CLASS
from data.image_bounds import most_pixels
from data.index import DatasetIndex
from data.report import DROPPED, ScanReport
from data.scanning.cache import NOT_OURS, cache_path, read_cache, state_of, write_cache
from data.scanning.scan import scan
from utils.errors import UserError
from utils.text import counted, printable

MIN_VISIBLE_PX = 3  # objects with a shorter side than this are hardly learnt


def load_dataset(
    path_yaml: str | Path, task: str, *, single_cls: bool = False, imgsz_hint: int | None = None
) -> DatasetIndex:
    """Index one split of a dataset YAML, from the cache if nothing has changed.

    Args:
        path_yaml: The YAML, or the name of one in data/.
        task: "train", "val" or "test".
        single_cls: Give every object class 0.
        imgsz_hint: The size in pixels that images will be trained at. Objects that are too small
            to see at that size are counted in the report.

    Returns:
        The index, with the report of the scan.

    Raises:
        UserError: A folder is missing, no image or no label file can be used, or a class number
            has no name.
    """
    info = read_dataset_yaml(path_yaml)
    if info.generator:
        _generate(info)
    index = load_split(info, task, single_cls)
    return _note_small(index, imgsz_hint) if imgsz_hint else index


def load_split(info: DatasetInfo, task: str, single_cls: bool = False) -> DatasetIndex:
    """Index one split of a dataset YAML that has been read already.

    Args:
        info: The content of the YAML.
        task: "train", "val" or "test".
        single_cls: Give every object class 0.

    Returns:
        The index, with the report of the scan.

    Raises:
        UserError: As in load_dataset().
    """
    kind, split = list_split(info, task)
    index = _load_cached(info, task, kind, split)
    if single_cls:
        index = index.as_single_class()
    else:
        _check_classes(index, info, kind)
    _check_usable(index, info, task, split)
    shared = "" if single_cls else repeated_names(info.names)
    index = _add_note(index, shared) if shared else index
    if index.report.found:
        return index
    return _add_note(
        index,
        f"{task}: none of {index.report.total} images has a label file, so all count as"
        f" background; {_rule_of(split)}",
    )


def _note_small(index: DatasetIndex, imgsz: int) -> DatasetIndex:
    """Note in the report how many objects nearly vanish when images are scaled to imgsz pixels."""
    gains = np.repeat(imgsz / index.sizes.max(axis=1), np.diff(index.offsets))
    sides = (index.boxes[:, 2:] - index.boxes[:, :2]).min(axis=1) * gains
    small = int((sides < MIN_VISIBLE_PX).sum())
    if not small:
        return index
    note = (
        f"{small:,} of {counted(len(sides), 'object')} with a side below {MIN_VISIBLE_PX} pixels"
        f" at --imgsz {imgsz}"
    )
    return _add_note(index, note)


def _add_note(index: DatasetIndex, note: str) -> DatasetIndex:
    return replace(index, report=replace(index.report, notes=(*index.report.notes, note)))


def _generate(info: DatasetInfo) -> None:
    if info.generator != "shapes":
        raise UserError(
            f"{info.path}: generate: {printable(info.generator, 60)} is unknown; the only generator"
            " is `shapes`"
        )
    from data.synthetic.shapes import generate

    generate(info.bases[0])


def _load_cached(info: DatasetInfo, task: str, kind: DatasetFormat, split: Split) -> DatasetIndex:
    settings = (kind.name, info.difficult, info.crowd, str(most_pixels()), *info.names.values())
    settings += (str(info.keypoints),) if info.keypoints else ()
    state = state_of(split.stamped, *settings)
    file = cache_path(f"{info.path} {task} {kind.name}")
    arrays, why = read_cache(file, state)
    if arrays is not None:
        try:
            return _index_of(arrays, info)
        except NOT_OURS:
            why = "the cache is of another version"
    index = scan(split.open(), f"{info.path.stem} {task}", info.names)
    if why:
        index = replace(index, report=replace(index.report, origin=f"scanned again: {why}"))
    packed = {**index.arrays(), "report": np.frombuffer(index.report.to_json(), np.uint8)}
    write_cache(file, state, packed)
    return index


def _index_of(arrays: dict[str, np.ndarray], info: DatasetInfo) -> DatasetIndex:
    """The index of the arrays of a cache. Raises one of NOT_OURS if they do not fit together."""
    packed = arrays.pop("report")
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise ValueError("the report is of another form")
    report = ScanReport.from_json(packed.tobytes(), "from the cache")
    index = DatasetIndex(info.names, **arrays, report=report)
    if arrays.keys() != index.arrays().keys():  # those with a default may be missing
        raise ValueError("arrays are missing")
    index.check()
    return index


def _check_classes(index: DatasetIndex, info: DatasetInfo, kind: DatasetFormat) -> None:
    """Raise UserError naming the label file and row of the first class that names does not list."""
    count = len(info.names)
    beyond = np.flatnonzero(index.classes >= count)
    if not len(beyond):
        return
    number = int(np.searchsorted(index.offsets, beyond[0], side="right")) - 1
    file, row, value = kind.find_class(index.path(number), count)
    raise UserError(
        f"{printable(file)}: row {row}: class {value}, but {info.path} lists {count} names (0 to"
        f" {count - 1}); correct the row, or add the class to names"
    )


def _rule_of(split: Split) -> str:
    return f"{split.rule}, e.g. {printable(split.example)}" if split.example else split.rule


def _check_usable(index: DatasetIndex, info: DatasetInfo, task: str, split: Split) -> None:
    """Raise UserError if no image or no label is left."""
    report = index.report
    if not len(index):
        first = next(iter(report.entries), None)
        why = f"; the first, {printable(first.file)}: {printable(first.reason)}" if first else ""
        notes = "".join(f"; {note}" for note in report.notes)
        raise UserError(
            f"{info.path}: {task}: none of {report.total} images can be used{why}{notes}"
        )
    if not report.found and task == "train":
        raise UserError(
            f"{info.path}: {task}: none of {report.total} images has a label file;"
            f" {_rule_of(split)}"
        )
    unknown = [entry.kind for entry in report.entries if entry.kind.startswith(UNKNOWN_CLASS)]
    strange = sorted({kind.removeprefix(UNKNOWN_CLASS) for kind in unknown})
    if not len(index.classes) and strange:
        raise UserError(
            f"{info.path}: no label has a class that is in names; the label files"
            f" have{','.join(strange)[:200]}"
        )
    dropped = next((entry for entry in report.entries if entry.action == DROPPED), None)
    if dropped and not len(index.classes) and not len(index.ignored):
        row = f" row {dropped.row}" if dropped.row else ""
        raise UserError(
            f"{info.path}: {task}: none of {report.rows_dropped:,} label rows can be used; the"
            f" first, {printable(dropped.file)}{row}: {printable(dropped.reason)}"
        )
