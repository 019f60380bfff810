"""metrics.json: the scores of an evaluation for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

from engine.evaluation.swapped import find_swapped
from utils.files import atomic_write
from utils.structures import Metrics


def write_metrics(folder: Path, metrics: Metrics, more: Mapping[str, object]) -> None:
    """Write metrics.json: scores overall, by class and by size, and the notes on them.

    Args:
        folder: The run's folder.
        metrics: The scores; NaN becomes null.
        more: Further entries, which replace those of the same name.
    """
    names = (
        "images",
        "instances",
        "precision",
        "recall",
        "map50",
        "map",
        "ap_small",
        "ap_medium",
        "ap_large",
        "protocol",
        "speed_ms",
    )
    content = {name: getattr(metrics, name) for name in names}
    content["notes"] = list(metrics.notes)
    content["classes"] = [dataclasses.asdict(row) for row in metrics.classes]
    content["errors"] = {
        name: {"count": count, "map50_cost": cost}
        for name, (count, cost) in metrics.details.errors.items()
    }
    names_of = metrics.details.names
    content["swapped"] = [
        [names_of.get(number, str(number)) for number in group]
        for group in find_swapped(metrics.details.confusion)
    ]
    with atomic_write(folder / "metrics.json", "w") as file:
        json.dump(_plain({**content, **more}), file, indent=2, allow_nan=False, ensure_ascii=False)


def _plain(value: object) -> object:
    """Convert a value to plain mappings, lists and numbers; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
