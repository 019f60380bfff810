"""Write YOLO labels from Pascal VOC or COCO: `python data/convert.py --data data/VOC.yaml --out
../datasets/voc-yolo`.

Training needs no conversion, it reads both formats itself; this is for other programs, or for
editing the labels. What is written is what training would see: data/index.py reads, so boxes are
clipped and every row dropped is reported. Everything goes to --out: labels/, images/ (links, or
copies with --copy), data.yaml and report.csv.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if (
    __name__ == "__main__"
):  # run as a script, Python looks in data/ first; the project's root is one up
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from data.dataset_yaml import FORMATS, TASKS, DatasetInfo, Source, read_dataset_yaml
from data.formats.coco import read_coco
from data.formats.voc import parse_xml
from data.formats.yolo import LabelError, read_label_file
from data.index import DatasetIndex, load_split
from data.report import Entry, ScanReport
from utils.cli import build, flag, read_flags
from utils.errors import UserError, run_main
from utils.files import atomic_write, make_folder, save_yaml
from utils.structures import Sample


@dataclass(frozen=True)
class ConvertConfig:
    """Flags of data/convert.py."""

    data: str = flag("", "dataset YAML to convert, every split that it has")
    source: str = flag("", "instead of --data: a VOC folder, or a COCO instances file")
    images: str = flag(
        "", "folder of the images, where --source is a COCO file that is not beside them"
    )
    format: str = flag("", "voc or coco; found out if left out", choices=("", *FORMATS))
    out: str = flag("", "folder to write to; made if it is not there")
    copy: bool = flag(False, "copy the images instead of linking to them")
    exist_ok: bool = flag(
        False, "write into --out although it holds files; labels of the same name are replaced"
    )

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.source):
            raise UserError("--data, --source: give exactly one of them")
        if not self.out:
            raise UserError("--out: give the folder to write to")


def convert(config: ConvertConfig) -> Path:
    """Convert every split; return the path of the YAML written.

    Raises UserError for anything the user can mend.
    """
    info = read_dataset_yaml(config.data) if config.data else describe_source(config)
    out = Path(config.out)
    _make_folder(out, config.exist_ok)
    entries: list[Entry] = []
    splits = [task for task in TASKS if getattr(info, task)]
    for task in splits:
        index = load_split(info, task)
        print(f"{task}: {index.report.table()}")
        write_split(index, out, task, config.copy)
        entries += index.report.entries
    ScanReport(entries=tuple(entries)).write(out / "report.csv")
    paths = {task: f"images/{task}" for task in splits}
    yaml = out / "data.yaml"
    save_yaml(yaml, {"path": str(out.resolve()), **paths, "names": info.names})
    print(f"done: python train.py --data {yaml}")
    return yaml


def describe_source(config: ConvertConfig) -> DatasetInfo:
    """What a dataset YAML for --source would say; its classes are those that the annotations name."""
    source = Path(config.source).absolute()
    if source.suffix.lower() == ".json":
        categories = read_coco(source).categories
        names = dict(enumerate(dict.fromkeys(categories.values())))
        where = Source(str(Path(config.images).absolute()) if config.images else "", str(source))
        return DatasetInfo(
            source, source.parent, (source.parent,), names, train=(where,), format="coco"
        )
    if not (source / "Annotations").is_dir():
        raise UserError(
            f"{source}: neither a COCO .json file nor a folder with Annotations/; check --source"
        )
    names = dict(enumerate(sorted(_voc_names(source / "Annotations"))))
    if not names:
        raise UserError(
            f"{source / 'Annotations'}: no object with a name in its XML files; check --source"
        )
    return replace(
        DatasetInfo(source, source, (source,), names, format="voc"), **_voc_splits(source)
    )


def _voc_names(folder: Path) -> set[str]:
    names = set()
    for file in sorted(folder.glob("*.xml")):
        try:
            root = parse_xml(read_label_file(file) or b"")
        except LabelError:  # reported by the scan that follows
            continue
        names |= {(item.findtext("name") or "").strip() for item in root.iter("object")}
    return names - {""}


def _voc_splits(source: Path) -> dict[str, Any]:
    lists = source / "ImageSets" / "Main"
    found = {task: (Source(task),) for task in TASKS if (lists / f"{task}.txt").is_file()}
    return found or {"train": (Source("JPEGImages"),)}


def _make_folder(out: Path, exist_ok: bool) -> None:
    try:
        make_folder(out)
        if any(out.iterdir()) and not exist_ok:
            raise UserError(f"{out}: holds files already; choose another --out, or add --exist-ok")
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from None


def write_split(index: DatasetIndex, out: Path, task: str, copy: bool = False) -> None:
    """Write a label file for each image and put the image where the images-to-labels rule
    expects it.
    """
    images, labels = out / "images" / task, out / "labels" / task
    make_folder(images)
    make_folder(labels)
    taken: dict[str, int] = {}
    for sample in index:
        image = Path(sample.path)
        count = taken[image.stem] = taken.get(image.stem, 0) + 1
        stem = (
            image.stem if count == 1 else f"{image.stem}~{count}"
        )  # the same name in another folder
        with atomic_write(labels / f"{stem}.txt", "w") as file:
            file.write(label_text(sample))
        _place_image(image, images / f"{stem}{image.suffix}", copy)


def label_text(sample: Sample) -> str:
    """Rows `class x y width height` in shares of the image's sides; polygons `class x1 y1 …` if
    any object has one.

    A file with a polygon is read as polygons throughout, so there a box becomes its four corners.
    """
    height, width = sample.size
    rows = []
    if any(len(segment) for segment in sample.segments):
        for number, box, segment in zip(
            sample.classes.tolist(), sample.boxes, sample.segments, strict=True
        ):
            points = segment if len(segment) else box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
            shares = (points / np.array([width, height])).clip(0, 1).ravel()
            rows.append(f"{number} " + " ".join(f"{value:.8f}" for value in shares) + "\n")
        return "".join(rows)
    for number, (x1, y1, x2, y2) in zip(
        sample.classes.tolist(), sample.boxes.tolist(), strict=True
    ):
        values = (
            (x1 + x2) / 2 / width,
            (y1 + y2) / 2 / height,
            (x2 - x1) / width,
            (y2 - y1) / height,
        )
        rows.append(
            f"{number} " + " ".join(f"{min(max(value, 0.0), 1.0):.8f}" for value in values) + "\n"
        )
    return "".join(rows)


def _place_image(image: Path, place: Path, copy: bool) -> None:
    try:
        if place.is_file() and filecmp.cmp(place, image, shallow=False):
            return
        if os.path.lexists(place):
            raise UserError(
                f"{place}: there already, and not the same as {image}; choose another --out"
            )
        if copy:
            shutil.copyfile(image, place)
            return
        try:
            place.symlink_to(image.absolute())
        except OSError:  # a file system, or a Windows account, without symbolic links
            shutil.copyfile(image, place)
    except OSError as error:
        raise UserError(
            f"{place}: cannot be written ({error.strerror}); choose another --out"
        ) from None


def main(argv: list[str] | None = None) -> None:
    convert(
        build(
            ConvertConfig,
            read_flags(ConvertConfig, argv, "Write YOLO labels from Pascal VOC or COCO."),
        )
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
