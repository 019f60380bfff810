"""The hyperparameters of a search and their ranges: the usual ones, or those of a file.

A file has a row for each hyperparameter: `name: [low, high]`, `name: [low, high, log]` for values
that differ by factors, `name: usual` for the range that stands here, or `name: value`, which all
trials take. What the file does not name keeps the value of --hyp.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from utils.errors import UserError
from utils.families import Family
from utils.files import find_file
from utils.hyperparameters import Hyperparameters
from utils.text import printable, shown
from utils.yaml_file import compose_yaml, read_yaml, refuse_doubled

USUAL, LOG = "usual", "log"
FORMS = "write [low, high], [low, high, log], a number that all trials take, or `usual`"


@dataclass(frozen=True)
class Range:
    """The values from low to high; where is_log is true, each power of ten is equally likely."""

    low: float
    high: float
    is_log: bool = False

    def has(self, value: float) -> bool:
        """Whether a value is one of them."""
        return self.low <= value <= self.high

    def plain(self) -> list[object]:
        """The range as a row of a file has it."""
        return [self.low, self.high, *([LOG] if self.is_log else [])]


# Rates and gains differ by factors, and the others by amounts. The published recipes of data/hyps
# lie within the ranges. Those of Adam's rates are a tenth of SGD's.
GENERAL = {
    "lr0": Range(1e-3, 0.1, True),
    "lrf": Range(0.01, 1.0, True),
    "momentum": Range(0.6, 0.98),
    "weight_decay": Range(1e-5, 1e-2, True),
    "warmup_epochs": Range(0.0, 5.0),
    "hsv_h": Range(0.0, 0.1),
    "hsv_s": Range(0.0, 0.9),
    "hsv_v": Range(0.0, 0.9),
    "translate": Range(0.0, 0.5),
    "scale": Range(0.0, 0.95),
    "fliplr": Range(0.0, 0.5),
    "mosaic": Range(0.0, 1.0),
    "mixup": Range(0.0, 0.5),
}
WITH_ANCHORS = {
    "box": Range(0.02, 0.2, True),
    "cls": Range(0.1, 4.0, True),
    "obj": Range(0.2, 4.0, True),
}
WITHOUT_ANCHORS = {
    "box": Range(1.0, 20.0, True),
    "cls": Range(0.1, 4.0, True),
    "dfl": Range(0.4, 6.0, True),
}
# Not searched unless a file names them, since few data sets profit.
SELDOM = {
    "warmup_momentum": Range(0.0, 0.95),
    "warmup_bias_lr": Range(0.0, 0.2),
    "degrees": Range(0.0, 45.0),
    "shear": Range(0.0, 10.0),
    "perspective": Range(0.0, 0.001),
    "flipud": Range(0.0, 0.5),
    "copy_paste": Range(0.0, 0.5),
    "mosaic9": Range(0.0, 1.0),
    "fl_gamma": Range(0.0, 2.0),
    "anchor_t": Range(2.0, 8.0),
}


def usual_ranges(family: Family, optimizer: str) -> dict[str, Range]:
    """The range of each hyperparameter that a search usually has."""
    gains = WITH_ANCHORS if family.has_anchors else WITHOUT_ANCHORS
    rates = {} if optimizer == "SGD" else {"lr0": Range(1e-4, 1e-2, True)}
    return {**GENERAL, **rates, **gains}


def read_rows(file: str) -> tuple[dict[str, object], dict[str, str]]:
    """The rows of a file of ranges: name -> value, and name -> "FILE:LINE".

    Raises UserError if the file is missing or no YAML of rows.
    """
    content = read_yaml(find_file(file))
    refuse_doubled(content)
    root = compose_yaml(content.text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    places = {key.value: f"{content.path}:{key.start_mark.line + 1}" for key, _ in pairs}
    return content.content, places


def read_space(
    rows: Mapping[str, object], places: Mapping[str, str], usual: Mapping[str, Range]
) -> tuple[dict[str, Range], dict[str, float]]:
    """Turn rows into ranges.

    Args:
        rows: Name of a hyperparameter -> its row.
        places: Name -> where its row stands, for errors.
        usual: The ranges for which the word `usual` stands; those of SELDOM come beside.

    Returns:
        The ranges, and the values that all trials take.

    Raises:
        UserError: A row names no hyperparameter, or its value is of no known form or impossible.
    """
    known = {field.name for field in dataclasses.fields(Hyperparameters)}
    ranges, fixed = {}, {}
    for name, row in rows.items():
        where = f"{places.get(str(name), 'space')}: {printable(name, 60)}"
        if name not in known:
            raise UserError(
                f"{where}: no such hyperparameter; known are {', '.join(sorted(known))}"
            )
        if row == USUAL:
            found = {**SELDOM, **usual}.get(name)
            if found is None:
                raise UserError(f"{where}: has no usual range; write [low, high]")
            ranges[name] = found
        elif isinstance(row, (list, tuple)):
            ranges[name] = _range(row, name, where)
        else:
            fixed[name] = _permitted(_number(row, row, where), name, where)
    if not ranges:
        raise UserError(f"{_origin(places)}: has no range to search; {FORMS}")
    return ranges, fixed


def _origin(places: Mapping[str, str]) -> str:
    return next(iter(places.values()), "space").rpartition(":")[0] or "space"


def _range(row: list[object] | tuple[object, ...], name: str, where: str) -> Range:
    is_log = len(row) == 3 and row[2] == LOG
    if len(row) != 2 and not is_log:
        raise UserError(f"{where}: {shown(list(row))} is no range; {FORMS}")
    low, high = (_permitted(_number(end, row, where), name, where) for end in row[:2])
    if low >= high:
        raise UserError(f"{where}: {shown(list(row))}: the first number must be below the second")
    if is_log and low <= 0:
        raise UserError(f"{where}: {shown(list(row))}: a range with log must begin above 0")
    return Range(low, high, is_log)


def _number(value: object, row: object, where: str) -> float:
    """A number, which YAML 1.1 reads as text if it is written 1e-3."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    raise UserError(f"{where}: {shown(row)}: {shown(value)} is no finite number; {FORMS}")


def _permitted(value: float, name: str, where: str) -> float:
    """The value, if it is possible for the hyperparameter."""
    try:
        Hyperparameters(**{name: value})  # type: ignore[arg-type]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return value


def load_space(
    file: str, rows: Mapping[str, object] | None, usual: Mapping[str, Range]
) -> tuple[dict[str, Range], dict[str, float]]:
    """The ranges of a search and the values that all trials take.

    Args:
        file: The file of --space, or "".
        rows: Rows that are given from Python instead; None for none.
        usual: The usual ranges, which hold where neither is given.

    Raises:
        UserError: A row is wrong.
    """
    if rows is not None:
        return read_space(rows, {}, usual)
    if not file:
        return dict(usual), {}
    found, places = read_rows(file)
    if not found:
        raise UserError(f"{Path(file)}: has no rows; {FORMS}")
    return read_space(found, places, usual)
