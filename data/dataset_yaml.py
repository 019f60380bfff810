"""The dataset YAML, in which a user describes a data set: reading and checks.

    path: ../datasets/cells     # relative to the project's root or, if it does not exist there, to
                                # the folder of this YAML
    train: images/train         # a folder, a list of folders, or a .txt list of images
    val: images/val
    test: images/test           # optional
    names: [disc, ring]         # or a mapping from 0 on; `nc`, if given, must be their number
    format: yolo                # optional: or voc, coco; by default it is detected
    defaults: {imgsz: 320}      # optional: values for flags that are not given, and `hyp: {…}` for
                                # hyperparameters; graphs without anchors prefer those in `v8: {…}`
                                # and take no other hyp
    about: Blood cells, 364     # optional: a sentence that train.py prints at the start
    difficult: ignore           # optional, VOC: or object, drop; see data/formats/marks.py
    crowd: ignore               # optional, COCO: or drop
    generate: shapes            # optional: the data set that the project draws itself in `path`

VOC: `train: trainval` means ImageSets/Main/trainval.txt below `path`, and `VOC2012/trainval` the
same below path/VOC2012; the whole path to such a file works too. Annotations are looked up in
Annotations/, images in JPEGImages/. COCO: `train: {images: train2017, annotations:
annotations/instances_train2017.json}`, or only the path of the JSON file if its images are beside
it. Every entry may be a list of such entries. The mapping with `annotations:` also serves VOC whose
folders have other names.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from data.dataset_info import TASKS, DatasetInfo, SplitSource
from data.formats import DATASET_FORMATS
from data.formats.marks import read_choice
from utils.errors import UserError
from utils.files import ROOT, find_file, load_yaml

LOGGER = logging.getLogger(__name__)


def read_dataset_yaml(path: str | Path) -> DatasetInfo:
    """Read and check a dataset YAML, but not the files of its data.

    Raises UserError for a mistake, naming file, key, value and remedy.
    """
    if Path(path).is_dir():
        raise UserError(
            f"{path}: is a folder, but --data takes a dataset YAML; see data/coco128.yaml for one"
        )
    file = find_file(path, "data").absolute()
    content = load_yaml(file)
    if content.get("download"):
        LOGGER.warning("%s: `download:` is ignored, nothing is ever downloaded", file)
    bases = _bases(file, content.get("path"))
    splits = {task: _read_sources(file, task, content.get(task)) for task in TASKS}
    return DatasetInfo(
        file,
        next((base for base in bases if os.path.exists(base)), bases[0]),
        bases,
        _read_names(file, content),
        **splits,
        format=_read_format(file, content),
        generator=str(content.get("generate") or ""),
        about=" ".join(str(content.get("about") or "").split()),
        suggested=_read_defaults(file, content),
        difficult=read_choice(file, "difficult", content.get("difficult")),
        crowd=read_choice(file, "crowd", content.get("crowd")),
    )


def _bases(file: Path, path: object) -> tuple[Path, ...]:
    if path is not None and not isinstance(path, str):
        raise UserError(f"{file}: path: {_short(path)} is not text; give the data set's folder")
    folders = (ROOT, Path(os.path.realpath(file)).parent)
    inner = Path(path or "").expanduser()
    return tuple(dict.fromkeys(Path(os.path.normpath(folder / inner)) for folder in folders))


def _read_format(file: Path, content: dict[str, Any]) -> str:
    kind = content.get("format") or ""
    if kind and not (isinstance(kind, str) and kind in DATASET_FORMATS):
        raise UserError(
            f"{file}: format: {_short(kind)} is unknown; use {', '.join(DATASET_FORMATS)}, or"
            " remove it"
        )
    return kind


def _read_defaults(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    suggested = content.get("defaults") or {}
    if not isinstance(suggested, dict):
        raise UserError(
            f"{file}: defaults: {_short(suggested)} is not a mapping; write e.g. `defaults:"
            " {imgsz: 320}`"
        )
    return suggested


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
        # YAML reads the bare words no, off and null as values, so these names need quotes.
        is_plain = isinstance(name, (str, int, float)) and not isinstance(name, bool)
        if not is_plain or not str(name).strip():
            raise UserError(
                f"{file}: names: class {key} is {_short(name)} to YAML; put the name in quotes"
            )
    count = content.get("nc", len(names))
    if count != len(names):
        raise UserError(
            f"{file}: nc: {_short(count)}, but names lists {len(names)} classes; correct one, or"
            " remove nc"
        )
    return {key: str(names[key]).strip() for key in sorted(names)}


def _read_sources(file: Path, task: str, value: object) -> tuple[SplitSource, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    return tuple(_read_source(file, task, item) for item in items)


def _read_source(file: Path, task: str, item: object) -> SplitSource:
    if isinstance(item, str) and item.strip():
        suffixes = [end for kind in DATASET_FORMATS.values() for end in kind.annotation_suffixes]
        if item.lower().endswith(tuple(suffixes)):
            return SplitSource(annotations=item)
        return SplitSource(images=item)
    parts = item if isinstance(item, dict) else {}
    strange = set(parts) - {"images", "annotations"}
    if not parts or strange or not all(isinstance(p, str) and p for p in parts.values()):
        remedy = "give a folder, a .txt list, or {images: …, annotations: …}"
        raise UserError(f"{file}: {task}: {_short(item)} is not a path; {remedy}")
    return SplitSource(**parts)


def _short(value: object) -> str:
    """A value for a message.

    Containers are named by their kind only, since YAML aliases can nest them to any length.
    """
    if value is None or isinstance(value, (str, int, float)):
        return repr(value)[:60]
    return f"a {type(value).__name__}"
