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
    channels: 1                 # optional: grey images, for which the model gets one input channel
    kpt_shape: [17, 3]          # optional: label rows end with keypoints, which are not read
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

import copy
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.class_names import read_names
from data.dataset_info import TASKS, DatasetInfo, SplitSource, as_local
from data.formats import DATASET_FORMATS
from data.formats.marks import read_choice
from data.grey import check_channels
from utils.errors import UserError
from utils.files import ROOT, check_path, expand_user, find_file
from utils.regular_file import read_limited
from utils.text import shown
from utils.yaml_file import parse_yaml, refuse_doubled

LOGGER = logging.getLogger(__name__)
LONGEST_PATH = 4096  # characters, as Linux has it


def read_dataset_yaml(path: str | Path) -> DatasetInfo:
    """Read and check a dataset YAML, but not the files of its data.

    Raises UserError for a mistake, naming file, key, value and remedy.
    """
    check_path(path)
    if Path(path).is_dir():
        raise UserError(
            f"{path}: is a folder, but --data takes a dataset YAML; see data/coco128.yaml for one"
        )
    file = find_file(path, "data").absolute()
    content = _parse(file, read_limited(file))
    if content.get("download"):
        LOGGER.warning("%s: `download:` is ignored, nothing is ever downloaded", file)
    bases = _bases(file, content.get("path"))
    splits = {task: _read_sources(file, task, _entry(file, content, task)) for task in TASKS}
    return DatasetInfo(
        file,
        next((base for base in bases if os.path.exists(base)), bases[0]),
        bases,
        read_names(file, content),
        **splits,
        format=_read_format(file, content),
        generator=_read_text(file, content, "generate"),
        about=" ".join(_read_text(file, content, "about").split()),
        suggested=_read_defaults(file, content),
        channels=_read_channels(file, content.get("channels")),
        keypoints=_read_keypoints(file, content.get("kpt_shape")),
        difficult=read_choice(file, "difficult", content.get("difficult")),
        crowd=read_choice(file, "crowd", content.get("crowd")),
    )


@lru_cache(maxsize=1)
def _parse(file: Path, data: bytes) -> dict[str, Any]:
    """The mapping in the bytes of a YAML, which nobody changes.

    Several parts of a program ask for its data set, and 100,000 class names take a second or two.
    """
    parsed = parse_yaml(file, data)
    refuse_doubled(parsed)
    return parsed.content


def _bases(file: Path, path: object) -> tuple[Path, ...]:
    if path is not None and not (isinstance(path, str) and len(path) <= LONGEST_PATH):
        raise UserError(f"{file}: path: {_short(path)} is no path; give the data set's folder")
    folders = (ROOT, Path(os.path.realpath(file)).parent)
    inner = expand_user(as_local(path or ""), f"{file}: path: ")
    check_path(inner, f"{file}: path: ")
    return tuple(dict.fromkeys(Path(os.path.normpath(folder / inner)) for folder in folders))


def _entry(file: Path, content: dict[str, Any], task: str) -> object:
    """The entry of a split. Exported data sets have `valid:` or `validation:` instead of `val:`."""
    value = content.get(task)
    if value is None and task == "val":
        for other in ("valid", "validation"):
            if content.get(other) is not None:
                LOGGER.warning("%s: `%s:` is taken for `val:`", file, other)
                return content[other]
    return value


def _read_text(file: Path, content: dict[str, Any], key: str) -> str:
    value = content.get(key) or ""
    if not isinstance(value, str):
        raise UserError(f"{file}: {key}: {_short(value)} is not text; put it in quotes")
    return value


def _read_format(file: Path, content: dict[str, Any]) -> str:
    kind = content.get("format") or ""
    if kind and not (isinstance(kind, str) and kind in DATASET_FORMATS):
        raise UserError(
            f"{file}: format: {_short(kind)} is unknown; use {', '.join(DATASET_FORMATS)}, or"
            " remove it"
        )
    return kind


def _read_channels(file: Path, value: object) -> int:
    """The number of channels, as Ultralytics' grey data sets give it; 0 if there is none."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{file}: channels: {_short(value)}: must be 3 (colour) or 1 (grey)")
    return check_channels(value, f"{file}: channels")


def _read_keypoints(file: Path, value: object) -> int:
    """The number of values that a pose data set's `kpt_shape`, [points, 2 or 3], adds to a row."""
    if value is None:
        return 0
    shape = value if isinstance(value, list) and len(value) == 2 else [0, 0]
    if not all(isinstance(part, int) and 0 < part < 10_000 for part in shape):
        raise UserError(f"{file}: kpt_shape: {_short(value)}: must be [points, 2] or [points, 3]")
    return int(shape[0] * shape[1])


def _read_defaults(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    suggested = content.get("defaults") or {}
    if not isinstance(suggested, dict):
        raise UserError(
            f"{file}: defaults: {_short(suggested)} is not a mapping; write e.g. `defaults:"
            " {imgsz: 320}`"
        )
    return copy.deepcopy(suggested)  # which programs change


def _read_sources(file: Path, task: str, value: object) -> tuple[SplitSource, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    return tuple(_read_source(file, task, item) for item in items)


def _read_source(file: Path, task: str, item: object) -> SplitSource:
    if isinstance(item, str) and item.strip() and len(item) <= LONGEST_PATH:
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
        return shown(value, 60)
    return f"a {type(value).__name__}"
