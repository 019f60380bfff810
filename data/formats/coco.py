"""COCO annotations: one JSON file for a whole split, read directly by data/scanning/scan.py through
CocoReader.

Boxes x, y, width, height in pixels become xyxy, clipped to the image; those left without area are
dropped, and so are crowds (iscrowd: 1), which mark regions and no objects. Categories are matched
to `names` by name, never by number. Polygons of several parts become one path that returns along
its own bridges, so that they add no area.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.formats.yolo import LabelError, LabelledObject, Labels, clip_objects
from data.report import DROPPED, Entry
from utils.errors import UserError


class Annotation(NamedTuple):
    """What is kept of a JSON annotation as it is parsed: a tenth of the memory of its dictionary."""

    image_id: Any
    category_id: Any
    bbox: Any
    crowd: bool
    segment: np.ndarray | None


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The useful part of a file. files: file name of each image. objects: per image (row,
    annotation).
    """

    path: str
    files: list[str]
    objects: list[list[tuple[int, Annotation]]]
    categories: dict[Any, str]
    entries: tuple[Entry, ...]


class CocoReader:
    """Gives the objects of each image; names maps a class's name to its number."""

    def __init__(self, files: Sequence[CocoFile], names: dict[str, int]) -> None:
        self.names = names
        self.objects_of = [(file, objects) for file in files for objects in file.objects]

    def read(self, number: int, size: tuple[int, int]) -> Labels:
        """Labels of image `number` of (height, width) `size`. Raises LabelError."""
        file, annotations = self.objects_of[number]
        objects = [_to_object(row, item, file.categories) for row, item in annotations]
        return clip_objects(objects, size, self.names, file.path)


def read_coco(path: Path) -> CocoFile:
    """Read an instances file. Raises UserError if it is none; single annotations that are wrong
    become entries.
    """
    content = _load(path)
    files: list[str] = []
    places: dict[Any, int] = {}
    duplicates = 0
    for item in content["images"]:
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("file_name"), str)
            or not _is_key(item.get("id"))
        ):
            raise UserError(
                f"{path}: images entry {len(files) + 1} needs an `id` and a `file_name`; mend that"
                " entry"
            )
        duplicates += item["id"] in places
        places[item["id"]] = len(files)
        files.append(item["file_name"])
    if duplicates:
        raise UserError(
            f"{path}: {duplicates} images share their id with another; give each its own `id`"
        )
    objects: list[list[tuple[int, Annotation]]] = [[] for _ in files]
    entries = []
    for row, item in enumerate(content["annotations"], 1):
        problem = _problem(item, places)
        if problem:
            entries.append(Entry(str(path), row, DROPPED, problem))
        else:
            objects[places[item.image_id]].append((row, item))
    return CocoFile(
        str(path), files, objects, _categories(path, content["categories"]), tuple(entries)
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes(), object_hook=_compact)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: not valid JSON ({str(error)[:80]}); mend the file") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(
                f"{path}: no list `{key}`, so no COCO instances file; check `annotations:`"
            )
    return content


def _compact(item: dict[str, Any]) -> Any:
    """Called by the JSON parser for each mapping as soon as it is complete."""
    if "image_id" not in item or "bbox" not in item:
        return item
    segment = join_parts(item.get("segmentation"))
    return Annotation(
        item["image_id"], item.get("category_id"), item["bbox"], item.get("iscrowd") == 1, segment
    )


def join_parts(parts: Any) -> np.ndarray | None:
    """[P, 2] float32 from COCO's list of flat polygons; None for masks, and for what is no polygon."""
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


def _is_key(value: Any) -> bool:
    return isinstance(value, (int, str))


def _problem(item: Any, places: dict[Any, int]) -> str:
    if not isinstance(item, Annotation):
        return "annotation without image_id or bbox"
    if not _is_key(item.image_id) or item.image_id not in places:
        return "annotation of a image that is not in `images`"
    return "crowd, no single object" if item.crowd else ""


def _categories(path: Path, items: list[Any]) -> dict[Any, str]:
    for row, item in enumerate(items, 1):
        if not isinstance(item, dict) or not _is_key(item.get("id")) or "name" not in item:
            raise UserError(
                f"{path}: categories entry {row} needs an `id` and a `name`; mend that entry"
            )
    return {item["id"]: str(item["name"]).strip() for item in items}


def _to_object(row: int, item: Annotation, categories: dict[Any, str]) -> LabelledObject:
    box = item.bbox
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, (int, float)) for value in box)
    ):
        raise LabelError(row, "bbox is not four numbers", str(box)[:40])
    x, y, width, height = (_to_float(row, value) for value in box)
    known = _is_key(item.category_id) and item.category_id in categories
    name = categories[item.category_id] if known else f"category_id {item.category_id}"
    return LabelledObject(row, name, (x, y, x + width, y + height), item.segment)


def _to_float(row: int, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise LabelError(row, "value is not finite", f"bbox {str(value)[:20]}")
    return number
