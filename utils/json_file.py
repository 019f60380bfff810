"""Reading JSON of settings and scores, such as the metrics.json of a run."""

from __future__ import annotations

import json
from pathlib import Path

from utils.errors import UserError
from utils.regular_file import decode_text, read_limited
from utils.text import printable


def load_json(path: str | Path, remedy: str) -> dict[str, object]:
    """Read a JSON mapping.

    Args:
        path: The file.
        remedy: What the user must do about a damaged one, for errors.

    Raises:
        UserError: It is missing, not a regular file, too large, not JSON or not a mapping, or has a
            key twice with values that differ.
    """
    text, marked = decode_text(read_limited(path))
    try:
        if text != marked:
            raise ValueError("it has bytes that are not UTF-8")
        content = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = printable(str(error).partition("\n")[0], 120)
        raise UserError(
            f"{printable(path)}: cannot be read (not valid JSON: {reason}); {remedy}"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{printable(path)}: is not a mapping; {remedy}")
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The mapping of pairs. Raises ValueError for a key with two values, of which one would win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f"`{printable(key, 60)}` stands twice with other values")
    return found
