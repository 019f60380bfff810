"""Pascal VOC annotations: a small XML file for each image.

VOC counts pixels from 1, and a box includes its last pixel. So xmin and ymin lose 1 while xmax and
ymax stay, and a box over the whole image becomes (0, 0, width, height). Boxes are clipped to the
image, and those without an area left are dropped. data/formats/marks.py says what becomes of
objects that are marked difficult.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from data.dataset_info import TASKS, DatasetInfo, SplitSource
from data.formats.files import is_image, read_lines, select_images, walk_files
from data.formats.format import DatasetFormat, OpenedSplit, Split, first_annotations
from data.formats.labels import (
    ImageLabels,
    LabelError,
    LabelledObject,
    clip_objects,
    read_label_file,
)
from data.formats.marks import IGNORE, apply_choice
from data.formats.spelling import find_spellings
from data.formats.xml_files import parse_xml
from data.report import KEPT_AS_IS, SIZES_DIFFER, Entry
from utils.errors import UserError
from utils.text import printable

CORNERS = ("xmin", "ymin", "xmax", "ymax")
_RULE = "labels are looked up in Annotations/, under an image's name with the suffix .xml"


class VocReader:
    """Reads the XML file of each image.

    names maps class names to numbers; difficult says what becomes of difficult objects.
    """

    def __init__(
        self, xml_paths: Sequence[str], names: dict[str, int], difficult: str = IGNORE
    ) -> None:
        self.xml_paths, self.names, self.difficult = xml_paths, names, difficult

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""
        path = self.xml_paths[number]
        data = read_label_file(path)
        if data is None:
            return ImageLabels(there=False)
        root = parse_xml(data)
        objects = [_read_object(row, item) for row, item in enumerate(root.iter("object"), 1)]
        if not objects and root.tag.lower() != "annotation":
            raise LabelError(0, "not VOC's XML", f"it holds <{printable(root.tag, 30)}>")
        objects, dropped = apply_choice(objects, self.difficult, path)
        labels = clip_objects(objects, size, self.names, path)
        oddities = _size_oddity(root, size, path)
        return replace(labels, entries=(*oddities, *dropped, *labels.entries))


def _detect(info: DatasetInfo, sources: Sequence[SplitSource]) -> bool:
    """Whether the entries name annotations, which COCO did not claim, or lie in VOC's folders."""
    if first_annotations(sources):
        return True
    entry = sources[0].images
    place = info.find(entry, _image_set(entry))
    if place is None:
        return False
    return "ImageSets" in place.parts if place.is_file() else _annotations_of(place).is_dir()


def _image_set(entry: str) -> str:
    """The path of the list for an entry such as `trainval` or `VOC2012/trainval`."""
    return str(Path(entry).parent / "ImageSets" / "Main" / f"{Path(entry).name}.txt")


def _annotations_of(images: Path) -> Path:
    return images.parent / "Annotations"


def _list(info: DatasetInfo, sources: Sequence[SplitSource]) -> Split:
    notes: list[str] = []
    pairs = sorted(pair for source in sources for pair in _pairs_of(info, source, notes))
    images = [pair[0] for pair in pairs]
    labels, spelled = find_spellings([pair[1] for pair in pairs])
    reader = VocReader(labels, info.class_numbers(), info.difficult)
    example = labels[0] if labels else ""
    return Split(
        [*images, *labels],
        lambda: OpenedSplit(images, reader, spelled, tuple(notes)),
        _RULE,
        example,
    )


def _pairs_of(info: DatasetInfo, source: SplitSource, notes: list[str]) -> list[tuple[str, str]]:
    """(image, XML file) of every image of an entry; notes gets what is said of its list."""
    place = info.locate(source.images, _image_set(source.images))
    root = info.root if place.is_file() else place.parent
    if "ImageSets" in place.parts:
        root = place.parents[2]
    named = info.locate(source.annotations) if source.annotations else root / "Annotations"
    if not named.is_dir():
        raise UserError(
            f"{info.path}: {named} is not a folder; VOC needs the XML files there, or"
            " `annotations:`"
        )
    if place.is_file():
        images, without = _images_of_list(place, root)
        notes += [without] if without else []
    else:
        images = select_images(walk_files(place))
    return [(path, str(named / f"{Path(path).stem}.xml")) for path in images]


def _images_of_list(file: Path, root: Path) -> tuple[list[str], str]:
    """The images whose names a file of ImageSets lists, one per line, with a suffix or without.

    In the lists of a single class each name is followed by -1 (no such object), 0 (difficult) or 1.
    Those with -1 are left out, which the sentence that comes second says; otherwise it is "".
    """
    folder = root / "JPEGImages"
    suffixes = {
        Path(path).stem: path for path in sorted(select_images(walk_files(folder)), reverse=True)
    }
    images, without = [], []
    for line in read_lines(file):
        words = line.rsplit(maxsplit=1)
        name = words[0] if len(words) == 2 and words[1] in ("-1", "0", "1") else line
        if name != line and words[1] == "-1":
            without.append(name)
            continue
        guess = folder / (name if is_image(name) else f"{name}.jpg")
        images.append(suffixes.get(name) or suffixes.get(guess.stem) or str(guess))
    if not without:
        return images, ""
    return images, (
        f"{printable(file)}: {len(without):,} images with -1 behind their name, which means that"
        f" they do not have the list's class, left out, such as {printable(without[0], 60)}"
    )


def _describe(source: Path, images: str) -> DatasetInfo | None:
    """The data set in a folder with Annotations/; its classes are those that the files name."""
    folder = source / "Annotations"
    if not folder.is_dir():
        return None
    names = dict(enumerate(sorted(_class_names(folder))))
    if not names:
        raise UserError(f"{folder}: no object has a name in its XML files; check --source")
    lists = source / "ImageSets" / "Main"
    train, val, test = (
        (SplitSource(task),) if (lists / f"{task}.txt").is_file() else () for task in TASKS
    )
    if not (train or val or test):
        train = (SplitSource("JPEGImages"),)
    return DatasetInfo(source, source, (source,), names, train, val, test, format="voc")


def _class_names(folder: Path) -> set[str]:
    names = set()
    for file in sorted(folder.glob("*.xml")):
        try:
            root = parse_xml(read_label_file(file) or b"")
        except LabelError:  # the scan reports it later
            continue
        names |= {(item.findtext("name") or "").strip() for item in root.iter("object")}
    return names - {""}


VOC_FORMAT = DatasetFormat(
    "voc", _detect, _list, describe=_describe, layout="a folder with Annotations/"
)


def _read_object(row: int, item: Element) -> LabelledObject:
    """Read an <object>, and let its pixels count from 0. Raises LabelError."""
    corners = []
    box = item.find("bndbox")
    if box is None:
        raise LabelError(row, "object without <bndbox>", f"object {row}")
    for tag in CORNERS:
        text = box.findtext(tag)  # much faster than by a path of two tags
        text = text if text is not None else item.findtext(f"bndbox/{tag}") or ""
        try:
            corners.append(float(text))
        except ValueError:
            raise LabelError(
                row, "not a number", f"<{tag}> {text.strip()[:40]!r} of object {row}"
            ) from None
        if not math.isfinite(corners[-1]):
            raise LabelError(
                row, "value is not finite", f"<{tag}> {text.strip()[:40]} of object {row}"
            )
    x1, y1, x2, y2 = corners
    name = (item.findtext("name") or "").strip()
    mark = "difficult" if _is_set(item.findtext("difficult")) else ""
    return LabelledObject(row, name, (x1 - 1, y1 - 1, x2, y2), mark=mark)


def _size_oddity(root: Element, size: tuple[int, int], path: str) -> list[Entry]:
    stated = (
        (root.findtext("size/height") or "").strip(),
        (root.findtext("size/width") or "").strip(),
    )
    # Some programs write 0 where they do not know the size.
    if "0" in stated or not all(stated) or stated == (str(size[0]), str(size[1])):
        return []
    detail = (
        f"{stated[1][:12]}x{stated[0][:12]} in the label file, {size[1]}x{size[0]} in the image"
    )
    return [Entry(path, 0, KEPT_AS_IS, SIZES_DIFFER, detail)]


def _is_set(text: str | None) -> bool:
    return (text or "").strip().lower() in ("1", "true", "yes")
