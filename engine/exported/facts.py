"""What an exported file says about itself: classes, stride, sizes, kind of output.

The keys are those that YOLOv5, Ultralytics and export.py write. Values may be text of Python, as in
ONNX, or values of JSON and YAML; they are read as literals and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from utils.errors import UserError
from utils.families import FAMILIES, V5, V8, Family
from utils.sizes import COARSEST_STRIDE, LONGEST_SIDE
from utils.text import shown

LONGEST_TEXT = 1_000_000  # characters of a value; the names of 10,000 classes have fewer
MOST_BATCH = 4096  # images that a file may want at once


@dataclass(frozen=True)
class FileFacts:
    """The metadata of an exported file.

    Attributes:
        names: Class number -> name; empty where the file has none.
        stride: Pixels per cell of the coarsest level.
        size: (height, width) for which the file was made, pixels; None if it does not say.
        batch: Images for which the file was made.
        channels: Of the images.
        family: The kind of the rows of its output; None if it does not say.
        suppressed: Whether it includes non-maximum suppression; None if it does not say.
    """

    names: dict[int, str]
    stride: int = COARSEST_STRIDE
    size: tuple[int, int] | None = None
    batch: int = 1
    channels: int = 3
    family: Family | None = None
    suppressed: bool | None = None


def read_facts(metadata: Mapping[str, object], where: str) -> FileFacts:
    """Read the metadata of an exported file.

    Args:
        metadata: Key -> value, as the file has them.
        where: The file, for errors.

    Raises:
        UserError: A value is not what its key says.
    """
    values = {key: _literal(value) for key, value in metadata.items() if isinstance(key, str)}
    task = values.get("task", "detect")
    if task != "detect":
        raise UserError(f"{where}: is for the task {shown(task, 40)}; only detect is known here")
    arguments = values.get("args")
    has_nms = values.get("nms", arguments.get("nms") if isinstance(arguments, dict) else None)
    ends = values.get("end2end")  # the name for a network that needs no suppression
    families = {family.name: family for family in FAMILIES}
    return FileFacts(
        _names(values.get("names"), where),
        _whole(values, "stride", COARSEST_STRIDE, 1024, where),
        _size(values, where),
        _whole(values, "batch", 1, MOST_BATCH, where),
        _whole(values, "channels", 3, 4, where),
        families.get(str(values.get("family"))),
        True if ends is True else has_nms if isinstance(has_nms, bool) else None,
    )


def family_of_output(
    facts: FileFacts, shape: Sequence[int], where: str
) -> tuple[Family, bool, dict[int, str]]:
    """Tell the kind of an output by its shape and by what the file says.

    Args:
        facts: The metadata of the file.
        shape: Of its first output, as export.py describes it.
        where: The file, for errors.

    Returns:
        The family of the rows, whether they are suppressed already, and the class names.

    Raises:
        UserError: The output is none of a detector with the file's classes.
    """
    count, found = len(facts.names), tuple(shape)
    # Without a word in the file, six columns may also be those of one class with objectness.
    is_told = facts.suppressed is not None or facts.family is not None
    suppressed = facts.suppressed if is_told else count > 1 and found[2:] == (6,)
    if suppressed and len(found) == 3 and found[2] == 6 and count:
        return facts.family or V8, True, facts.names
    if not suppressed and len(found) == 3:
        rows = {V5: found[2] - V5.box_columns, V8: found[1] - V8.box_columns}
        upright = V8 if found[1] < found[2] else V5  # there are more boxes than columns
        for family in (facts.family,) if facts.family else (upright, V5, V8):
            if rows[family] == (count or rows[family]) and rows[family] > 0:
                return family, False, facts.names or {n: str(n) for n in range(rows[family])}
    raise UserError(
        f"{where}: its output {list(found)} is not that of a detector with {count} classes; export"
        " it with export.py"
    )


def _literal(value: object) -> object:
    """A value of text as Python writes it, or the text itself."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _as_list(value: object) -> list[object]:
    """The entries of a list or a tuple; [] for anything else."""
    return list(value) if isinstance(value, list | tuple) else []


def _names(value: object, where: str) -> dict[int, str]:
    """Class names from a list or a mapping, whose keys are text in JSON."""
    if value is None:
        return {}
    pairs = value.items() if isinstance(value, dict) else enumerate(_as_list(value))
    try:
        names = {int(key): str(name) for key, name in pairs}
    except (TypeError, ValueError):
        names = {}
    if not names or sorted(names) != list(range(len(names))):
        raise UserError(
            f"{where}: its metadata has names {shown(value, 60)}, which are no classes numbered"
            " from 0; export it again"
        )
    return {number: names[number] for number in sorted(names)}


def _whole(values: Mapping[str, object], key: str, usual: int, most: int, where: str) -> int:
    """A whole number from 1 to `most`; strides may be a list, of which the largest counts."""
    value = values.get(key, usual)
    if isinstance(value, list) and value and all(isinstance(one, int | float) for one in value):
        value = max(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UserError(
            f"{where}: its metadata has {key} {shown(value, 40)}, where 1 to {most} is needed;"
            " export it again"
        )
    return value


def _size(values: Mapping[str, object], where: str) -> tuple[int, int] | None:
    """(height, width) from imgsz, or from YOLOv5's shape of the input."""
    value = values.get("imgsz", values.get("shape"))
    if value is None:
        return None
    given = _as_list(value)[-2:] or [value]
    sides = [side for side in given if isinstance(side, int) and 1 <= side <= LONGEST_SIDE]
    if len(sides) < len(given):
        raise UserError(
            f"{where}: its metadata has imgsz {shown(value, 40)}, which is no size; export it again"
        )
    return sides[0], sides[-1]
