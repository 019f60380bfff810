"""Write YOLO labels from Pascal VOC, COCO, or any other format in data/formats:

    python data/convert.py --data data/VOC.yaml --out ../datasets/voc-yolo

Training reads these formats itself; the conversion is for other programs, or for editing labels.
It writes what training would see: boxes are clipped, and every row that is dropped is reported.
Everything goes to --out: labels/, images/ (links, or copies with --copy), data.yaml and report.csv.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

if __name__ == "__main__":
    # Python looks up a script's imports in its own folder, but the project's root is one up.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from utils.endings import expect_signals

    expect_signals()  # before the other imports

import numpy as np

from data.dataset_info import TASKS, DatasetInfo
from data.dataset_yaml import read_dataset_yaml
from data.formats import DATASET_FORMATS
from data.geometry import box_corners
from data.index import DatasetIndex
from data.report import Entry, ScanReport
from data.sample import Sample
from data.scanning.load import load_split
from utils.cli import build, flag, read_flags
from utils.errors import UserError, run_main
from utils.files import atomic_write, make_folder, save_yaml
from utils.text import counted
from utils.writing import OWN_REASONS, OutputError, Unwritten


@dataclass(frozen=True)
class ConvertConfig:
    """Flags of data/convert.py."""

    data: str = flag("", "dataset YAML to convert, with every split that it names")
    source: str = flag("", "instead of --data: a VOC folder, or a COCO instances file")
    images: str = flag(
        "", "folder of the images, if --source is a COCO file that is not beside them"
    )
    format: str = flag(
        "",
        "format of the labels; by default it is detected from the files",
        choices=("", *DATASET_FORMATS),
    )
    out: str = flag("", "folder to write to; made if it does not exist")
    copy: bool = flag(False, "copy the images instead of linking to them")
    exist_ok: bool = flag(
        False, "write into --out even if it holds files; labels of the same name are replaced"
    )

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.source):
            raise UserError("--data, --source: give exactly one of them")
        if not self.out:
            raise UserError("--out: give the folder to write to")


def convert(config: ConvertConfig) -> Path:
    """Convert every split, and return the path of the new dataset YAML.

    Raises UserError if the source cannot be read or the output cannot be written.
    """
    info = read_dataset_yaml(config.data) if config.data else describe_source(config)
    info = replace(info, format=config.format or info.format)
    out = Path(config.out)
    _make_folder(out, config.exist_ok)
    entries: list[Entry] = []
    marked = 0
    messages: list[str] = []
    splits = [task for task in TASKS if getattr(info, task)]
    for task in splits:
        index = load_split(info, task)
        print(f"{task}: {index.report.table()}")
        messages += write_split(index, out, task, config.copy).messages
        entries += index.report.entries
        marked += len(index.ignored)
    ScanReport(entries=tuple(entries)).write(out / "report.csv")
    paths = {task: f"images/{task}" for task in splits}
    yaml = out / "data.yaml"
    channels = {"channels": info.channels} if info.channels else {}
    save_yaml(yaml, {"path": str(out.resolve()), **paths, "names": info.names, **channels})
    if marked:
        print(
            f"note: {counted(marked, 'difficult object or crowd', 'difficult objects or crowds')}"
            " left out of the label files, since YOLO labels"
            " cannot mark them: on the new set detections on them count as false"
        )
    print(f"done: python train.py --data {yaml}")
    Unwritten(messages).report()
    return yaml


def describe_source(config: ConvertConfig) -> DatasetInfo:
    """The DatasetInfo of --source, which has no YAML; its classes are those that the labels name.

    Raises UserError if no format recognises the source.
    """
    source = Path(config.source).absolute()
    layouts = []
    for kind in reversed(DATASET_FORMATS.values()):
        if kind.describe and config.format in ("", kind.name):
            layouts.append(kind.layout)
            info = kind.describe(source, config.images)
            if info:
                return info
    if not layouts:
        raise UserError(f"--format {config.format}: --source cannot be of this format; use --data")
    raise UserError(f"{source}: is not {' or '.join(layouts)}; check --source")


def _make_folder(out: Path, exist_ok: bool) -> None:
    try:
        make_folder(out)
        if any(out.iterdir()) and not exist_ok:
            raise UserError(f"{out}: holds files already; choose another --out, or add --exist-ok")
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from None


def write_split(index: DatasetIndex, out: Path, task: str, copy: bool = False) -> Unwritten:
    """Write a label file for each image, and put the image where YOLO's rule expects it.

    Args:
        index: The images and labels.
        out: The folder that gets images/ and labels/.
        task: The name of the split, and of its folder in both.
        copy: Copy the images instead of linking to them.

    Returns:
        The files that could not be written for a reason of their own.
    """
    images, labels = out / "images" / task, out / "labels" / task
    make_folder(images)
    make_folder(labels)
    taken: dict[str, int] = {}
    unwritten = Unwritten()
    for sample in index:
        image = Path(sample.path)
        count = taken[image.stem] = taken.get(image.stem, 0) + 1
        # Another folder may hold an image of the same name.
        stem = image.stem if count == 1 else f"{image.stem}~{count}"
        with unwritten.allowed():
            with atomic_write(labels / f"{stem}.txt", "w") as file:
                file.write(label_text(sample))
            _place_image(image, images / f"{stem}{image.suffix}", copy)
    return unwritten


def label_text(sample: Sample) -> str:
    """The label file of an image.

    Its rows are `class x y width height` in shares of the image's sides, or `class x1 y1 …` if any
    object has a polygon. One polygon makes readers take all rows of a file for polygons, so in such
    a file a box is written as its four corners.
    """
    height, width = sample.size
    rows = []
    if any(len(segment) for segment in sample.segments):
        corners = box_corners(sample.boxes)
        for number, box, segment in zip(
            sample.classes.tolist(), corners, sample.segments, strict=True
        ):
            points = segment if len(segment) else box
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
                f"{place}: exists already, and is not the same as {image}; choose another --out"
            )
        if copy or not _is_linked(image, place):
            with atomic_write(place) as file, open(image, "rb") as source:
                shutil.copyfileobj(source, file)
    except OSError as error:
        raise OutputError(place, error) from None


def _is_linked(image: Path, place: Path) -> bool:
    """Make a symbolic link; False on a file system, or for a Windows account, without them."""
    try:
        place.symlink_to(image.absolute())
    except OSError as error:
        if error.errno in OWN_REASONS:
            raise
        return False
    return True


def main(argv: list[str] | None = None) -> None:
    convert(
        build(
            ConvertConfig,
            read_flags(ConvertConfig, argv, "Write YOLO labels from Pascal VOC or COCO."),
        )
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
