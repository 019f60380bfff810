"""COCO annotations: one JSON file for a whole split.

Boxes x, y, width, height in pixels become xyxy, clipped to the image. Those without an area left
are dropped. data/formats/marks.py says what becomes of crowds (iscrowd: 1), which mark regions
instead of objects. Categories are matched to `names` by name, never by number. Polygons of several
parts become one path that returns along its own bridges, so that the bridges add no area.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.coco_json import Annotation, CocoFile, CocoImage, CocoKey, is_key, read_coco
from data.formats.files import walk_files
from data.formats.format import DatasetFormat, OpenedSplit, Split, first_annotations
from data.formats.labels import ImageLabels, LabelError, LabelledObject, clip_objects
from data.formats.marks import IGNORE, apply_choice
from data.formats.spelling import accent_forms
from data.report import KEPT_AS_IS, SIZES_DIFFER, Entry
from utils.errors import UserError
from utils.text import printable, shown

_RULE = "labels are the annotations in the JSON file"


class CocoReader:
    """Gives the objects of each image.

    names maps the name of a class to its number; crowd says what becomes of crowds.
    """

    def __init__(
        self, files: Sequence[CocoFile], names: dict[str, int], crowd: str = IGNORE
    ) -> None:
        self.names, self.crowd = names, crowd
        self.images = [
            (file, image, objects)
            for file in files
            for image, objects in zip(file.images, file.objects, strict=True)
        ]

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""
        file, image, annotations = self.images[number]
        objects = [_to_object(row, item, file.categories) for row, item in annotations]
        objects, dropped = apply_choice(objects, self.crowd, file.path)
        labels = clip_objects(objects, size, self.names, file.path)
        oddities = _size_oddity(image, size, file.path)
        return replace(labels, entries=(*oddities, *dropped, *labels.entries))


def _detect(info: DatasetInfo, sources: Sequence[SplitSource]) -> bool:
    return first_annotations(sources).lower().endswith(".json")


def _list(info: DatasetInfo, sources: Sequence[SplitSource]) -> Split:
    places = [_places_of(info, source) for source in sources]
    present = [sorted(walk_files(images)) for _, images in places]
    stamped = [
        path
        for (file, _), images in zip(places, present, strict=True)
        for path in (str(file), *images)
    ]

    def read() -> OpenedSplit:
        files = [read_coco(file) for file, _ in places]
        entries = [entry for file in files for entry in file.entries]
        paths = []
        for (_, folder), file, known in zip(places, files, present, strict=True):
            paths += find_images(folder, file, set(known), entries)
        reader = CocoReader(files, info.class_numbers(), info.crowd)
        return OpenedSplit(paths, reader, tuple(entries))

    return Split(stamped, read, _RULE)


def find_images(folder: Path, file: CocoFile, known: set[str], entries: list[Entry]) -> list[str]:
    """The path of each image of a JSON file.

    A `file_name` is looked up as it is written, then with \\ as /, then by its last part alone,
    since it may be a URL or a path of another machine. Where the last one is taken, an entry is
    added.

    Args:
        folder: The folder of the images.
        file: The content of the JSON file.
        known: The files in that folder.
        entries: The findings so far.
    """
    paths = []
    for row, image in enumerate(file.images, 1):
        path = os.path.normpath(folder / image.name)
        if path not in known and not os.path.exists(path):
            slashed = image.name.replace("\\", "/")
            same = os.path.normpath(folder / slashed)
            last = os.path.normpath(folder / slashed.split("?")[0].rpartition("/")[2])
            places = (same, *accent_forms(same), last)
            path = next((place for place in places if place in known), path)
            if path == last != same:
                kind, detail = "image found by the last part of its name", printable(image.name, 80)
                entries.append(Entry(file.path, row, KEPT_AS_IS, kind, detail))
        paths.append(path)
    return paths


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


def read_files(info: DatasetInfo, sources: Sequence[SplitSource]) -> list[tuple[CocoFile, Path]]:
    """The JSON file of each entry of a split, and its folder of images. Raises UserError."""
    places = [_places_of(info, source) for source in sources]
    return [(read_coco(file), images) for file, images in places]


def _size_oddity(image: CocoImage, size: tuple[int, int], path: str) -> list[Entry]:
    """An entry if the JSON file states another size than that of the image."""
    stated = image.size
    # Some programs write 0 where they do not know the size.
    known = all(isinstance(side, (int, float)) and side > 0 for side in stated)
    if not known or stated == size:
        return []
    detail = (
        f"{printable(image.name, 40)}: {shown(stated[1], 12)}x{shown(stated[0], 12)} in the JSON"
        f" file, {size[1]}x{size[0]} in the image"
    )
    return [Entry(path, 0, KEPT_AS_IS, SIZES_DIFFER, detail)]


def _to_object(row: int, item: Annotation, categories: dict[CocoKey, str]) -> LabelledObject:
    x, y, width, height = box_numbers(row, item.bbox)
    name = categories.get(item.category_id) if is_key(item.category_id) else None
    if name is None:
        name = f"category_id {shown(item.category_id, 40)}"
    mark = "crowd" if item.crowd else ""
    return LabelledObject(row, name, (x, y, x + width, y + height), item.segment, mark)


def box_numbers(row: int, box: object) -> list[float]:
    """The four numbers of a bbox. Raises LabelError."""
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, (int, float)) for value in box)
    ):
        raise LabelError(row, "bbox is not four numbers", shown(box, 40))
    return [_to_float(row, value) for value in box]


def _to_float(row: int, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise LabelError(row, "value is not finite", f"bbox {shown(value, 20)}")
    return number
