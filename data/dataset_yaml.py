"""The dataset YAML: what a user writes about a data set -> DatasetInfo, which
data/formats/listing.py turns into files.

    path: ../datasets/cells       # relative to the project's root or, failing that, to this YAML's own folder
    train: images/train           # a folder, a list of folders, or a .txt list of images
    val: images/val
    test: images/test             # optional
    names: [disc, ring]           # or a mapping from 0 on; `nc`, if given, must be their number
    format: yolo                  # or voc, coco; found out if left out
    defaults: {imgsz: 320}        # optional: values for flags that are not given, and `hyp: {…}` for hyperparameters;
                                  # `v8: {…}` in it goes before them for graphs without anchors, which take no other hyp
    about: Blood cells, 364       # optional: a sentence that train.py prints at the start
    generate: shapes              # optional: the data set that the project draws itself, made in `path`

VOC: `train: trainval` means ImageSets/Main/trainval.txt below `path` (`VOC2012/trainval` that below
path/VOC2012, and the whole path to such a file does as well); annotations are looked up in
Annotations/, images in JPEGImages/. COCO: `train: {images: train2017, annotations:
annotations/instances_train2017.json}`, or only the JSON's path when its images are beside it.
Lists of these are allowed everywhere. The same mapping serves VOC with folders of its own.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import ROOT, find_file, load_yaml

FORMATS = ("yolo", "voc", "coco")
TASKS = ("train", "val", "test")
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One entry of train, val or test, as written; "" for a part that is not there."""

    images: str = ""
    annotations: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset YAML, checked. root: the data set's folder. bases: where relative entries are
    looked for, in order.

    suggested: the mapping `defaults`. format: "" if it is to be found out. generator: value of
    `generate`, or "". about: a sentence for the user, or "".
    """

    path: Path
    root: Path
    bases: tuple[Path, ...]
    names: dict[int, str]
    train: tuple[Source, ...] = ()
    val: tuple[Source, ...] = ()
    test: tuple[Source, ...] = ()
    format: str = ""
    generator: str = ""
    about: str = ""
    suggested: dict[str, Any] = field(default_factory=dict)

    def sources(self, task: str) -> tuple[Source, ...]:
        """The entries of a split. Raises UserError if the YAML has none."""
        if task not in TASKS:
            raise UserError(f"task {task!r}: there are {', '.join(TASKS)}")
        found: tuple[Source, ...] = getattr(self, task)
        if not found:
            raise UserError(f"{self.path}: no `{task}:`; add the folder of its images")
        return found

    def locate(self, entry: str) -> Path:
        """The file or folder meant by an entry.

        Raises UserError that lists every place looked at.
        """
        variants = [entry]
        if entry.startswith("../"):
            variants.append(entry[3:])
        named = Path(entry).parent / "ImageSets" / "Main" / f"{Path(entry).name}.txt"
        variants.insert(0 if self.format == "voc" else len(variants), str(named))
        places = [
            Path(os.path.normpath(base / variant)) for variant in variants for base in self.bases
        ]
        for place in dict.fromkeys(places):
            if os.path.exists(place):
                return place
        hidden = () if self.format == "voc" else ("ImageSets",)
        looked = ", ".join(
            str(place) for place in dict.fromkeys(places) if not set(hidden) & set(place.parts)
        )
        raise UserError(f"{self.path}: {entry} is not there (looked at {looked}); mend the path")


def read_dataset_yaml(path: str | Path) -> DatasetInfo:
    """Read and check a dataset YAML; no data is looked at.

    Raises UserError naming file, key, value and remedy.
    """
    if Path(path).is_dir():
        raise UserError(
            f"{path}: a folder, but --data takes a dataset YAML; see data/coco128.yaml for one"
        )
    file = find_file(path, "data").absolute()
    content = load_yaml(file)
    if content.get("download"):
        LOGGER.warning("%s: `download:` is ignored, nothing is ever downloaded", file)
    bases = _bases(file, content.get("path"))
    names = _read_names(file, content)
    kind = content.get("format") or ""
    if kind and not (isinstance(kind, str) and kind in FORMATS):
        raise UserError(
            f"{file}: format: {_short(kind)} is unknown; use {', '.join(FORMATS)}, or leave it out"
        )
    suggested = content.get("defaults") or {}
    if not isinstance(suggested, dict):
        raise UserError(
            f"{file}: defaults: {_short(suggested)} is no mapping; write e.g. `defaults: {{imgsz:"
            " 320}`"
        )
    root = next((base for base in bases if os.path.exists(base)), bases[0])
    splits = {task: _read_sources(file, task, content.get(task)) for task in TASKS}
    generator = str(content.get("generate") or "")
    about = " ".join(str(content.get("about") or "").split())
    return DatasetInfo(
        file,
        root,
        bases,
        names,
        **splits,
        format=kind,
        generator=generator,
        about=about,
        suggested=suggested,
    )


def _bases(file: Path, path: Any) -> tuple[Path, ...]:
    if path is not None and not isinstance(path, str):
        raise UserError(f"{file}: path: {_short(path)} is no text; give the data set's folder")
    folders = (ROOT, Path(os.path.realpath(file)).parent)
    inner = Path(path or "").expanduser()
    return tuple(dict.fromkeys(Path(os.path.normpath(folder / inner)) for folder in folders))


def _read_names(file: Path, content: dict[str, Any]) -> dict[int, str]:
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise UserError(f"{file}: no `names:`; list the classes, e.g. `names: [cat, dog]`")
    if set(names) != set(range(len(names))) or any(isinstance(key, bool) for key in names):
        raise UserError(
            f"{file}: names: the keys {str(list(names))[:60]} must be 0 to {len(names) - 1}, each"
            " once"
        )
    for key, name in names.items():
        if (
            isinstance(name, bool)
            or not isinstance(name, (str, int, float))
            or not str(name).strip()
        ):
            raise UserError(
                f"{file}: names: class {key} is {_short(name)} to YAML; put the name in quotes"
            )
    count = content.get("nc", len(names))
    if count != len(names):
        raise UserError(
            f"{file}: nc: {_short(count)}, but names lists {len(names)} classes; correct one, or"
            " leave nc out"
        )
    return {key: str(names[key]).strip() for key in sorted(names)}


def _read_sources(file: Path, task: str, value: Any) -> tuple[Source, ...]:
    if value is None:
        return ()
    return tuple(
        _read_source(file, task, item) for item in (value if isinstance(value, list) else [value])
    )


def _read_source(file: Path, task: str, item: Any) -> Source:
    if isinstance(item, str) and item.strip():
        return Source(annotations=item) if item.lower().endswith(".json") else Source(images=item)
    is_pair = isinstance(item, dict) and item and set(item) <= {"images", "annotations"}
    if is_pair and all(isinstance(part, str) and part for part in item.values()):
        return Source(**item)
    remedy = "give a folder, a .txt list, or {images: …, annotations: …}"
    raise UserError(f"{file}: {task}: {_short(item)} is no path; {remedy}")


def _short(value: Any) -> str:
    """A value for a message; a container by its kind, since YAML aliases can nest it to any length."""
    return (
        repr(value)[:60]
        if isinstance(value, (str, int, float)) or value is None
        else f"a {type(value).__name__}"
    )
