"""The files that a finished cell leaves, read and checked: a damaged one is an error that names it,
no score of 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.graph.values import is_number
from utils.errors import UserError
from utils.files import read_results

CLASS = {"class_id", "name", "ap"}
DELETE = "delete the folder, and the cell is run again"


def read_metrics(path: Path) -> dict[str, Any]:
    """metrics.json.

    Raises UserError if it is damaged, or has no score, which must not pass for one of 0.
    """
    content = read_json(path)
    if "map" not in content:
        raise UserError(f"{path}: has no score; {DELETE}")
    for name in ("map", "map50"):
        score = content.get(name)
        if score is not None and not (
            is_number(score) and 0 <= score <= 1
        ):  # None: nothing was labelled
            raise UserError(f"{path}: {name}: {score!r}: must be a share of 1; {DELETE}")
    rows = content.get("classes") or []
    if not isinstance(rows, list) or any(
        not isinstance(row, dict) or not row.keys() >= CLASS for row in rows
    ):
        raise UserError(
            f"{path}: classes: must be a list with class_id, name and ap of each; {DELETE}"
        )
    return content


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of results.csv. Raises UserError if there are none."""
    try:
        rows = read_results(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {DELETE}") from None
    if not rows:
        raise UserError(f"{path}: has no epochs; {DELETE}")
    return rows


def read_timing(path: Path) -> dict[str, float]:
    """timing.json, {} if it is not there. Raises UserError for what is no number."""
    content = read_json(path)
    for name, value in content.items():
        if not is_number(value):
            raise UserError(f"{path}: {name}: {value!r}: must be a number; {DELETE}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON mapping; {} if it is not there. Raises UserError if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {DELETE}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is no mapping; {DELETE}")
    return content
