"""The class names of a dataset YAML: `names`, and `nc` beside it or alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from utils.errors import UserError
from utils.text import counted, printable, shown

LOGGER = logging.getLogger(__name__)
MOST_CLASSES = 100_000


def read_names(file: Path, content: Mapping[str, object]) -> dict[int, str]:
    """Class number -> name, in the order of the numbers.

    Numbers may be in quotes, as in {'0': cat}. Without `names`, `nc` classes are class_0, class_1 …

    Args:
        file: The YAML, for errors.
        content: Its content.

    Raises:
        UserError: Names are missing or not text, their numbers have gaps, or nc is another number.
    """
    names, count = content.get("names"), _number(content.get("nc"))
    if names is None and isinstance(count, int) and 0 < count <= MOST_CLASSES:
        LOGGER.warning("%s: no `names:`; the classes are class_0 to class_%d", file, count - 1)
        return {number: f"class_{number}" for number in range(count)}
    if names is not None and not isinstance(names, (list, dict)):
        raise UserError(
            f"{file}: names: {_short(names)} is no list; list the classes, e.g. `names: [cat, dog]`"
        )
    if not names:
        raise UserError(f"{file}: no `names:`; list the classes, e.g. `names: [cat, dog]`")
    found = _numbered(file, names)
    if count is not None and count != len(found):
        raise UserError(
            f"{file}: nc: {_short(content['nc'])}, but names lists"
            f" {counted(len(found), 'class', 'classes')}; correct"
            " one, or remove nc"
        )
    return {number: _name(file, number, found[number]) for number in range(len(found))}


def _numbered(file: Path, names: list[object] | dict[object, object]) -> dict[int, object]:
    """The entries of names by their numbers, which must run from 0 on without a gap."""
    if isinstance(names, list):
        return dict(enumerate(names))
    found = {_number(key): value for key, value in names.items()}
    whole = {key: value for key, value in found.items() if isinstance(key, int)}
    if len(whole) < len(names) or set(whole) != set(range(len(names))):
        raise UserError(
            f"{file}: names: the keys {shown(list(names), 60)} must be 0 to {len(names) - 1}, each"
            " once"
        )
    return whole


def _number(value: object) -> object:
    """The whole number that a text spells, or the value itself; text for a bool."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        return int(value)
    return value


def _name(file: Path, number: int, name: object) -> str:
    # YAML reads the bare words no, off and null as values, so these names need quotes.
    is_plain = isinstance(name, (str, int, float)) and not isinstance(name, bool)
    if not is_plain or not str(name).strip():
        raise UserError(
            f"{file}: names: class {number} is {_short(name)} to YAML; put the name in quotes"
        )
    return str(name).strip()


def _short(value: object) -> str:
    """A value for a message; containers are named by their kind only."""
    if value is None or isinstance(value, (str, int, float)):
        return shown(value, 60)
    return f"a {type(value).__name__}"


def repeated_names(names: Mapping[int, str]) -> str:
    """A sentence on names that several classes share; "" if there are none."""
    numbers: dict[str, list[int]] = {}
    for number, name in names.items():
        numbers.setdefault(name, []).append(number)
    shared = [
        f"{printable(name, 40)} ({', '.join(map(str, found[:6]))}{' …' if len(found) > 6 else ''})"
        for name, found in numbers.items()
        if len(found) > 1
    ]
    if not shared:
        return ""
    more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
    return f"names: several classes have one name: {', '.join(shared[:3])}{more}"
