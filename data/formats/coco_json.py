"""The content of a COCO instances file: images, categories, and annotations by image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeGuard

import numpy as np

from data.formats.files import read_bytes
from data.report import DROPPED, KEPT_AS_IS, Entry
from utils.errors import UserError
from utils.text import printable, shown

CocoKey = int | str  # an id of an image or a category
CROWD = (1, "1")
LONGEST_PATH = 4096  # signs; no system opens a longer one


class Annotation(NamedTuple):
    """The useful part of a JSON annotation, unchecked, in a tenth of its dictionary's memory."""

    image_id: object
    category_id: object
    bbox: object
    crowd: bool
    segment: np.ndarray | None
    area: object


class CocoImage(NamedTuple):
    """An entry of `images`: id, file name, and the (height, width) that it states, unchecked."""

    key: CocoKey
    name: str
    size: tuple[object, object]


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The useful part of an instances file.

    Attributes:
        path: The file.
        images: Its images, in their order.
        objects: The annotations of each image, each with its place in the JSON list, from 1.
        categories: Category id -> name.
        entries: The faults that were found.
    """

    path: str
    images: list[CocoImage]
    objects: list[list[tuple[int, Annotation]]]
    categories: dict[CocoKey, str]
    entries: tuple[Entry, ...]


def read_coco(path: Path) -> CocoFile:
    """Read an instances file; faulty annotations become entries of the report.

    Raises UserError if the file is not a COCO instances file.
    """
    content = _load(path)
    images, places = _read_images(path, content["images"])
    objects: list[list[tuple[int, Annotation]]] = [[] for _ in images]
    entries = _repeated_names(path, images)
    for row, item in enumerate(content["annotations"], 1):
        if not isinstance(item, Annotation):
            problem = "annotation without image_id or bbox"
        elif not is_key(item.image_id) or item.image_id not in places:
            problem = "annotation of an image that is not in `images`"
        else:
            objects[places[item.image_id]].append((row, item))
            continue
        entries.append(Entry(str(path), row, DROPPED, problem))
    categories = _read_categories(path, content["categories"])
    entries += _repeated_categories(path, categories)
    return CocoFile(str(path), images, objects, categories, tuple(entries))


def is_key(value: object) -> TypeGuard[CocoKey]:
    """Whether a value can be an id: a text or a whole number, which some programs write as 41.0."""
    whole = isinstance(value, float) and value.is_integer()
    return whole or (isinstance(value, (int, str)) and not isinstance(value, bool))


def _plain_key(key: CocoKey) -> CocoKey:
    return key if isinstance(key, str) else int(key)


def _read_images(path: Path, items: list[object]) -> tuple[list[CocoImage], dict[CocoKey, int]]:
    """The images, and the place of each id among them."""
    images: list[CocoImage] = []
    places: dict[CocoKey, int] = {}
    for row, item in enumerate(items, 1):
        fields = item if isinstance(item, dict) else {}
        key, name = fields.get("id"), fields.get("file_name")
        if not is_key(key) or not isinstance(name, str) or len(name) > LONGEST_PATH:
            raise UserError(
                f"{path}: images entry {row} needs an `id` and a `file_name`; correct that entry"
            )
        places[key] = len(images)
        images.append(CocoImage(_plain_key(key), name, (fields.get("height"), fields.get("width"))))
    if len(places) < len(images):
        raise UserError(
            f"{path}: {len(images) - len(places)} images share their id with another; give each its"
            " own `id`"
        )
    return images, places


def _repeated_names(path: Path, images: Sequence[CocoImage]) -> list[Entry]:
    """An entry for each image whose file an earlier one names too."""
    seen: set[str] = set()
    entries = []
    for row, image in enumerate(images, 1):
        if image.name in seen:
            detail = f"images entry {row}: {printable(image.name, 60)}"
            entries.append(Entry(str(path), row, KEPT_AS_IS, "two images of one file", detail))
        seen.add(image.name)
    return entries


def _read_categories(path: Path, items: list[object]) -> dict[CocoKey, str]:
    categories: dict[CocoKey, str] = {}
    for row, item in enumerate(items, 1):
        fields = item if isinstance(item, dict) else {}
        key, name = fields.get("id"), fields.get("name")
        if not is_key(key) or not isinstance(name, (str, int, float)):
            raise UserError(
                f"{path}: categories entry {row} needs an `id` and a `name`; correct that entry"
            )
        name = str(name).strip()
        if categories.setdefault(_plain_key(key), name) != name:
            both = f"{printable(categories[key], 40)} and {printable(name, 40)}"
            raise UserError(
                f"{path}: categories entry {row}: id {shown(key, 40)} stands for {both}; give each"
                " its own `id`"
            )
    return categories


def _repeated_categories(path: Path, categories: dict[CocoKey, str]) -> list[Entry]:
    """An entry for each category whose name an earlier one has; both become one class."""
    seen: set[str] = set()
    entries = []
    for key, name in categories.items():
        if name in seen:
            detail = f"{printable(name, 40)}, id {shown(key, 40)}"
            kind = "categories of one name, taken as one class"
            entries.append(Entry(str(path), 0, KEPT_AS_IS, kind, detail))
        seen.add(name)
    return entries


def _load(path: Path) -> dict[str, list[object]]:
    try:
        content = json.loads(read_bytes(path), object_hook=_compact)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError, MemoryError) as error:
        why = printable(error, 80) or "too large for the memory"
        raise UserError(f"{path}: not valid JSON ({why}); correct the file") from None
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
    crowd = item.get("iscrowd") in CROWD
    return Annotation(
        item["image_id"], item.get("category_id"), item["bbox"], crowd, segment, item.get("area")
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
