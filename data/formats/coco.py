"""COCO annotations: one JSON file for a whole split.

Boxes x, y, width, height in pixels become xyxy, clipped to the image. Those without an area left
are dropped, and so are crowds (iscrowd: 1), which mark regions instead of objects. Categories are
matched to `names` by name, never by number. Polygons of several parts become one path that returns
along its own bridges, so that the bridges add no area.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeGuard

import numpy as np

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.files import walk_files
from data.formats.format import DatasetFormat, OpenedSplit, Split, first_annotations
from data.formats.labels import ImageLabels, LabelError, LabelledObject, clip_objects
from data.report import DROPPED, Entry
from utils.errors import UserError

_RULE = "labels are the annotations in the JSON file"
CocoKey = int | str  # an id of an image or a category


class Annotation(NamedTuple):
    """The useful part of a JSON annotation, unchecked, in a tenth of its dictionary's memory."""

    image_id: object
    category_id: object
    bbox: object
    crowd: bool
    segment: np.ndarray | None


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The useful part of an instances file.

    files holds the file name of each image, objects its annotations, each with its place in the
    JSON list, counted from 1.
    """

    path: str
    files: list[str]
    objects: list[list[tuple[int, Annotation]]]
    categories: dict[CocoKey, str]
    entries: tuple[Entry, ...]


class CocoReader:
    """Gives the objects of each image; names maps the name of a class to its number."""

    def __init__(self, files: Sequence[CocoFile], names: dict[str, int]) -> None:
        self.names = names
        self.objects_of = [(file, objects) for file in files for objects in file.objects]

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""
        file, annotations = self.objects_of[number]
        objects = [_to_object(row, item, file.categories) for row, item in annotations]
        return clip_objects(objects, size, self.names, file.path)


def _detect(info: DatasetInfo, sources: Sequence[SplitSource]) -> bool:
    return first_annotations(sources).lower().endswith(".json")


def _list(info: DatasetInfo, sources: Sequence[SplitSource]) -> Split:
    places = [_places_of(info, source) for source in sources]
    stamped = []
    for file, images in places:
        stamped += [str(file), *sorted(walk_files(images))]

    def read() -> OpenedSplit:
        files = [read_coco(file) for file, _ in places]
        paths = [
            os.path.normpath(images / name)
            for (_, images), file in zip(places, files, strict=True)
            for name in file.files
        ]
        entries = tuple(entry for file in files for entry in file.entries)
        return OpenedSplit(paths, CocoReader(files, info.class_numbers()), entries)

    return Split(stamped, read, _RULE)


def _places_of(info: DatasetInfo, source: SplitSource) -> tuple[Path, Path]:
    """The JSON file and the folder of images of an entry."""
    if not source.annotations:
        raise UserError(
            f"{info.path}: {source.images} has no `annotations:`; name the JSON file beside"
            " `images:`"
        )
    file = info.locate(source.annotations)
    return file, info.locate(source.images) if source.images else _guess_folder(file)


def _guess_folder(annotations: Path) -> Path:
    """The folder of images that belongs to a JSON file.

    For instances_X.json it is X or images/X, beside the file or one folder up; otherwise, and if
    none of these exists, it is the folder of the file.
    """
    split = annotations.stem.removeprefix("instances_")
    beside = annotations.parent
    guesses = [
        above / part for above in (beside.parent, beside) for part in (f"images/{split}", split)
    ]
    return next((guess for guess in guesses if guess.is_dir()), beside)


def _describe(source: Path, images: str) -> DatasetInfo | None:
    """The data set of an instances file; its classes are the categories, in their order."""
    if source.suffix.lower() != ".json":
        return None
    names = dict(enumerate(dict.fromkeys(read_coco(source).categories.values())))
    where = SplitSource(str(Path(images).absolute()) if images else "", str(source))
    return DatasetInfo(
        source, source.parent, (source.parent,), names, train=(where,), format="coco"
    )


COCO_FORMAT = DatasetFormat(
    "coco",
    _detect,
    _list,
    annotation_suffixes=(".json",),
    describe=_describe,
    layout="a COCO .json file",
)


def read_coco(path: Path) -> CocoFile:
    """Read an instances file; faulty annotations become entries of the report.

    Raises UserError if the file is not a COCO instances file.
    """
    content = _load(path)
    files, places = _read_images(path, content["images"])
    objects: list[list[tuple[int, Annotation]]] = [[] for _ in files]
    entries = []
    for row, item in enumerate(content["annotations"], 1):
        if not isinstance(item, Annotation):
            problem = "annotation without image_id or bbox"
        elif not _is_key(item.image_id) or item.image_id not in places:
            problem = "annotation of an image that is not in `images`"
        elif item.crowd:
            problem = "crowd, no single object"
        else:
            objects[places[item.image_id]].append((row, item))
            continue
        entries.append(Entry(str(path), row, DROPPED, problem))
    return CocoFile(
        str(path), files, objects, _read_categories(path, content["categories"]), tuple(entries)
    )


def _read_images(path: Path, items: list[object]) -> tuple[list[str], dict[CocoKey, int]]:
    """The file name of each image, and the place of each id among them."""
    files: list[str] = []
    places: dict[CocoKey, int] = {}
    for row, item in enumerate(items, 1):
        fields = item if isinstance(item, dict) else {}
        key, name = fields.get("id"), fields.get("file_name")
        if not _is_key(key) or not isinstance(name, str):
            raise UserError(
                f"{path}: images entry {row} needs an `id` and a `file_name`; correct that entry"
            )
        places[key] = len(files)
        files.append(name)
    if len(places) < len(files):
        raise UserError(
            f"{path}: {len(files) - len(places)} images share their id with another; give each its"
            " own `id`"
        )
    return files, places


def _load(path: Path) -> dict[str, list[object]]:
    try:
        content = json.loads(path.read_bytes(), object_hook=_compact)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: not valid JSON ({str(error)[:80]}); correct the file") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(
                f"{path}: has no list `{key}`, so it is not a COCO instances file; check"
                " `annotations:`"
            )
    return content


def _compact(item: dict[str, object]) -> dict[str, object] | Annotation:
    """Compact a mapping if it is an annotation; the JSON parser calls this for each mapping.

    The dictionaries of all annotations of COCO together would fill gigabytes.
    """
    if "image_id" not in item or "bbox" not in item:
        return item
    segment = join_parts(item.get("segmentation"))
    return Annotation(
        item["image_id"], item.get("category_id"), item["bbox"], item.get("iscrowd") == 1, segment
    )


def join_parts(parts: object) -> np.ndarray | None:
    """One path [P, 2] float32 from COCO's list of flat polygons; None for anything else.

    After the last part the path returns to the first one through the first points of the parts
    between them. So each bridge is passed once in each direction and encloses no area.
    """
    if not isinstance(parts, list) or not parts:
        return None
    try:
        polygons = [np.array(part, np.float32).reshape(-1, 2) for part in parts]
    except (ValueError, TypeError, OverflowError):
        return None
    if any(len(polygon) < 3 or not np.isfinite(polygon).all() for polygon in polygons):
        return None
    if len(polygons) == 1:
        return polygons[0]
    closed = [points for polygon in polygons for points in (polygon, polygon[:1])]
    return np.concatenate([*closed, *(polygon[:1] for polygon in polygons[-2:0:-1])])


def _is_key(value: object) -> TypeGuard[CocoKey]:
    return isinstance(value, (int, str))


def _read_categories(path: Path, items: list[object]) -> dict[CocoKey, str]:
    categories: dict[CocoKey, str] = {}
    for row, item in enumerate(items, 1):
        fields = item if isinstance(item, dict) else {}
        key = fields.get("id")
        if not _is_key(key) or "name" not in fields:
            raise UserError(
                f"{path}: categories entry {row} needs an `id` and a `name`; correct that entry"
            )
        categories[key] = str(fields["name"]).strip()
    return categories


def _to_object(row: int, item: Annotation, categories: dict[CocoKey, str]) -> LabelledObject:
    box = item.bbox
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, (int, float)) for value in box)
    ):
        raise LabelError(row, "bbox is not four numbers", str(box)[:40])
    x, y, width, height = (_to_float(row, value) for value in box)
    name = f"category_id {item.category_id}"
    if _is_key(item.category_id):
        name = categories.get(item.category_id, name)
    return LabelledObject(row, name, (x, y, x + width, y + height), item.segment)


def _to_float(row: int, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise LabelError(row, "value is not finite", f"bbox {str(value)[:20]}")
    return number
