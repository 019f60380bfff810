"""The ids and the ground truth of a COCO JSON file, for results that are scored against it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from data.dataset_info import DatasetInfo
from data.formats import list_split
from data.formats.coco import COCO_FORMAT, box_numbers, find_images, read_files
from data.formats.coco_json import Annotation, CocoFile, CocoImage, CocoKey, is_key
from data.formats.files import walk_files
from data.formats.labels import LabelError
from data.index import DatasetIndex
from utils.errors import UserError
from utils.text import shown

CocoTruth = dict[str, Any]  # the content of an annotation file


@dataclass(frozen=True)
class CocoIds:
    """The ids that a COCO JSON file gives to the images and classes of an index.

    Attributes:
        images: The id of each image, in the order of the index.
        categories: The id of each class, None for a class that is no category of the file.
        truth: The part of the file on these images, as COCO's evaluation takes it.
    """

    images: tuple[CocoKey, ...]
    categories: tuple[CocoKey | None, ...]
    truth: CocoTruth


def find_ids(info: DatasetInfo, task: str, index: DatasetIndex) -> CocoIds | None:
    """The ids of a split that COCO JSON files describe; None for other formats.

    Args:
        info: The dataset YAML.
        task: "train", "val" or "test".
        index: The images of that split.

    Raises:
        UserError: The ids cannot be told apart, or no class is a category.
    """
    kind, _ = list_split(info, task)
    if kind is not COCO_FORMAT:
        return None
    files = read_files(info, info.sources(task))
    paths = list(chain(*(_paths_of(file, folder) for file, folder in files)))
    objects = chain(*(zip(file.images, file.objects, strict=True) for file, _ in files))
    kept = _kept_images(index, list(zip(paths, objects, strict=True)), info)
    images = tuple(image.key for image, _ in kept)
    names = _merge_categories(info, [file for file, _ in files])
    numbers = {name: key for key, name in reversed(names.items())}
    categories = tuple(numbers.get(name) for name in index.names.values())
    if len(set(images)) < len(images):
        raise UserError(f"{info.path}: {task}: its JSON files share image ids; score one at a time")
    if all(key is None for key in categories):
        first = next(iter(index.names.values()))
        raise UserError(
            f"{info.path}: {task}: no class is a category of the JSON file, e.g. {shown(first)};"
            " leave out --save-json or --single-cls"
        )
    return CocoIds(images, categories, _truth(kept, names, numbers))


def _paths_of(file: CocoFile, folder: Path) -> list[str]:
    return find_images(folder, file, set(walk_files(folder)), [])


Described = tuple[CocoImage, list[tuple[int, Annotation]]]  # an image and its annotations


def _kept_images(
    index: DatasetIndex, described: list[tuple[str, Described]], info: DatasetInfo
) -> list[Described]:
    """What the files say about the images of an index, which are in the order of the files."""
    listed = Counter(path for path, _ in described)
    kept = Counter(index.path(number) for number in range(len(index)))
    for path, count in kept.items():
        if listed[path] != count:
            raise UserError(
                f"{info.path}: {path} stands {listed[path]} times in the JSON file, and {count} of"
                " them can be used, so its id is not known; correct the file"
            )
    return [parts for path, parts in described if path in kept]


def _merge_categories(info: DatasetInfo, files: list[CocoFile]) -> dict[CocoKey, str]:
    names: dict[CocoKey, str] = {}
    for key, name in chain(*(file.categories.items() for file in files)):
        if names.setdefault(key, name) != name:
            raise UserError(
                f"{info.path}: its JSON files give category id {shown(key, 40)} to different"
                " classes; score one at a time"
            )
    return names


def _truth(
    kept: list[Described], names: dict[CocoKey, str], numbers: dict[str, CocoKey]
) -> CocoTruth:
    """COCO's annotation file of these images. Categories of one name become one."""
    rows: list[dict[str, Any]] = []
    for image, objects in kept:
        for row, item in objects:
            try:
                box = box_numbers(row, item.bbox)
            except LabelError:  # the report of the scan names it
                continue
            if not is_key(item.category_id) or item.category_id not in names:
                continue
            has_area = isinstance(item.area, (int, float))
            rows.append(
                {
                    "id": len(rows) + 1,  # id 0 would mean "unmatched"
                    "image_id": image.key,
                    "category_id": numbers[names[item.category_id]],
                    "bbox": box,
                    "area": item.area if has_area else box[2] * box[3],
                    "iscrowd": int(item.crowd),
                }
            )
    return {
        "info": {},
        "images": [{"id": image.key} for image, _ in kept],
        "categories": [{"id": key, "name": name} for name, key in numbers.items()],
        "annotations": rows,
    }
