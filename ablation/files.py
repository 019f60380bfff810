"""Read and check the files that a finished cell leaves.

A damaged file is an error that names the file, so that it is never taken for a score of 0.
"""

from __future__ import annotations

from pathlib import Path

from models.graph.values import is_number
from utils.errors import UserError
from utils.files import read_results, with_gaps
from utils.json_file import load_json
from utils.text import shown

CLASS_KEYS = {"class_id", "name", "ap"}
REMEDY = "delete the folder, and the run is repeated"


def read_metrics(path: Path) -> dict[str, object]:
    """Read metrics.json. Raises UserError if it is damaged or has no score."""
    content = read_json(path)
    if "map" not in content:
        raise UserError(f"{path}: has no score; {REMEDY}")
    for name in ("map", "map50"):
        score = content.get(name)
        # A score is null where no image of the split has a label.
        share = finite_number(score)
        if score is not None and (share is None or not 0 <= share <= 1):
            raise UserError(f"{path}: {name}: {shown(score)}: must be between 0 and 1; {REMEDY}")
    rows = content.get("classes") or []
    if not isinstance(rows, list) or any(
        not isinstance(row, dict) or not row.keys() >= CLASS_KEYS for row in rows
    ):
        raise UserError(
            f"{path}: classes: must be a list with class_id, name and ap of each; {REMEDY}"
        )
    return content


def read_curve(path: Path) -> list[dict[str, float]]:
    """Read the rows of results.csv. Raises UserError if there are none."""
    try:
        rows = with_gaps(read_results(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {REMEDY}") from None
    if not rows:
        raise UserError(f"{path}: has no epochs; {REMEDY}")
    return rows


def read_timing(path: Path) -> dict[str, float]:
    """Read timing.json, or return {} if it is missing. Raises UserError if a value is no number."""
    timing = {}
    for name, value in read_json(path).items():
        number = finite_number(value)
        if number is None:
            raise UserError(f"{path}: {name}: {shown(value)}: must be a number; {REMEDY}")
        timing[name] = number
    return timing


def finite_number(value: object) -> float | None:
    """The value if it is a finite number, else None."""
    return value if isinstance(value, (int, float)) and is_number(value) else None


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON mapping, or return {} if it is missing. Raises UserError if it is damaged."""
    return load_json(path, REMEDY) if path.exists() else {}
