"""Which images a split has and where their labels are, for each format: DatasetInfo -> Split,
read by data/scanning.

Nothing is opened here that the cache may make needless: a Split knows the files whose size and time
it depends on, and how to go on from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from data.dataset_yaml import DatasetInfo, Source
from data.formats.coco import CocoReader, read_coco
from data.formats.voc import VocReader
from data.formats.yolo import Labels, YoloReader, label_path
from data.images import SUFFIXES, UNREAD_SUFFIXES
from data.report import LEFT_OUT, Entry
from utils.errors import UserError
from utils.files import ROOT


class LabelReader(Protocol):
    """Gives the labels of image `number`, whose (height, width) is known by then."""

    def read(self, number: int, size: tuple[int, int]) -> Labels: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """images: paths in the order of the index. entries: what was met while listing."""

    images: list[str]
    reader: LabelReader
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """format: yolo, voc or coco. stamped: the files it depends on. open: makes the listing. rule:
    where labels are.
    """

    format: str
    stamped: list[str]
    open: Callable[[], Opened]
    rule: str


def list_split(info: DatasetInfo, task: str) -> Split:
    """List a split of a data set. Raises UserError if anything named in the YAML is not there."""
    sources = info.sources(task)
    kind = info.format or _detect_format(info, sources)
    split = {"yolo": _list_yolo, "voc": _list_voc, "coco": _list_coco}[kind](
        replace(info, format=kind), sources
    )
    if not split.stamped:
        where = ", ".join(source.images or source.annotations for source in sources)
        raise UserError(
            f"{info.path}: {task}: {where} holds no images ({' '.join(sorted(SUFFIXES))}); check"
            " the path"
        )
    return split


def _detect_format(info: DatasetInfo, sources: tuple[Source, ...]) -> str:
    annotations = [source.annotations for source in sources if source.annotations]
    if annotations:
        return "coco" if annotations[0].lower().endswith(".json") else "voc"
    place = info.locate(sources[0].images)
    in_voc = (
        "ImageSets" in place.parts if place.is_file() else (place.parent / "Annotations").is_dir()
    )
    return "voc" if in_voc else "yolo"


def walk_files(folder: Path) -> Iterator[str]:
    """Every file below folder but hidden ones, links followed, none twice for a link that leads
    back up.
    """
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in files if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def _sort_out(files: list[str]) -> tuple[list[str], tuple[Entry, ...]]:
    """(images sorted, an entry for each image of a kind that is not read)."""
    image_paths = sorted(file for file in files if _suffix(file) in SUFFIXES)
    unread = sorted(file for file in files if _suffix(file) in UNREAD_SUFFIXES)
    remedy = "save it as JPEG or PNG"
    return image_paths, tuple(
        Entry(file, 0, LEFT_OUT, f"{_suffix(file).upper()} is not read", remedy) for file in unread
    )


def _read_lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as a UTF-8 list of images ({error}); check the file"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _list_yolo(info: DatasetInfo, sources: tuple[Source, ...]) -> Split:
    files: list[str] = []
    for source in sources:
        place = info.locate(source.images)
        files += walk_files(place) if place.is_dir() else _read_list(place, info)
    image_paths, entries = _sort_out(files)
    labels = [label_path(path) for path in image_paths]
    rule = (
        "labels are looked for where the last /images/ of a image's path becomes /labels/ and its"
        " suffix .txt"
    )
    return Split(
        "yolo",
        [*image_paths, *labels],
        lambda: Opened(image_paths, YoloReader(labels), entries),
        rule,
    )


def _read_list(file: Path, info: DatasetInfo) -> list[str]:
    """Images of a .txt list; relative ones are below the data set's folder, the list's own, or
    the project's.
    """
    if file.suffix.lower() != ".txt":
        remedy = (
            "unpack it first"
            if file.suffix.lower() in (".zip", ".gz", ".tar")
            else "give a folder or a .txt list"
        )
        raise UserError(f"{info.path}: {file} is neither a folder nor a .txt list; {remedy}")
    bases = (info.root, file.parent, ROOT)
    return [_place_of(line, bases) for line in _read_lines(file)]


def _place_of(line: str, bases: tuple[Path, Path, Path]) -> str:
    if line.startswith("./"):
        return os.path.normpath(bases[1] / line)
    places = [os.path.normpath(base / line) for base in bases]
    return next((place for place in places if os.path.exists(place)), places[0])


def _list_voc(info: DatasetInfo, sources: tuple[Source, ...]) -> Split:
    pairs: list[tuple[str, str]] = []
    for source in sources:
        place = info.locate(source.images)
        root = (
            place.parents[2]
            if "ImageSets" in place.parts
            else info.root
            if place.is_file()
            else place.parent
        )
        annotations = (
            info.locate(source.annotations) if source.annotations else root / "Annotations"
        )
        if not annotations.is_dir():
            raise UserError(
                f"{info.path}: {annotations} is no folder; VOC needs the XML files there, or"
                " `annotations:`"
            )
        image_paths = (
            _images_of_list(place, root) if place.is_file() else _sort_out([*walk_files(place)])[0]
        )
        pairs += [(path, str(annotations / f"{Path(path).stem}.xml")) for path in image_paths]
    pairs.sort()
    image_paths, labels = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    reader = VocReader(labels, {name: number for number, name in reversed(info.names.items())})
    rule = "labels are looked for in Annotations/, with a image's name and the suffix .xml"
    return Split("voc", [*image_paths, *labels], lambda: Opened(image_paths, reader), rule)


def _images_of_list(file: Path, root: Path) -> list[str]:
    """Paths of the images whose names a file of ImageSets lists, one a line; per-class files add
    -1, 0 or 1.
    """
    folder = root / "JPEGImages"
    suffixes = {
        Path(path).stem: path for path in sorted(_sort_out([*walk_files(folder)])[0], reverse=True)
    }
    names = []
    for line in _read_lines(file):
        words = line.rsplit(maxsplit=1)
        if len(words) == 2 and words[1] in ("-1", "0", "1"):
            line = words[0] if words[1] != "-1" else ""
        names.append(line)
    return [suffixes.get(name, str(folder / f"{name}.jpg")) for name in names if name]


def _list_coco(info: DatasetInfo, sources: tuple[Source, ...]) -> Split:
    places: list[tuple[Path, Path]] = []
    stamped: list[str] = []
    for source in sources:
        if not source.annotations:
            raise UserError(
                f"{info.path}: {source.images} has no `annotations:`; name the JSON file beside"
                " `images:`"
            )
        annotations = info.locate(source.annotations)
        images = info.locate(source.images) if source.images else _guess_coco_folder(annotations)
        places.append((annotations, images))
        stamped += [str(annotations), *sorted(walk_files(images))]

    def read() -> Opened:
        files = [read_coco(annotations) for annotations, _ in places]
        pairs = [
            (images, name)
            for (_, images), file in zip(places, files, strict=True)
            for name in file.files
        ]
        image_paths = [os.path.normpath(images / name) for images, name in pairs]
        names = {name: number for number, name in reversed(info.names.items())}
        return Opened(
            image_paths,
            CocoReader(files, names),
            tuple(entry for file in files for entry in file.entries),
        )

    return Split("coco", stamped, read, "labels are the annotations in the JSON file")


def _guess_coco_folder(annotations: Path) -> Path:
    """instances_X.json belongs to the folder X or images/X beside it or above; other files to their
    own folder.
    """
    split = annotations.stem.removeprefix("instances_")
    beside = annotations.parent
    guesses = [
        above / part for above in (beside.parent, beside) for part in (f"images/{split}", split)
    ]
    return next((guess for guess in guesses if guess.is_dir()), beside)
