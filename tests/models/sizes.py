"""Which sizes of one graph are built in each run of the tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

# YOLO11 has other blocks from m on, so its m is built in each run.
BETWEEN = re.compile(r"yolov5[ml]6?|yolov5s6|yolov8[ml]|yolo11l")


def slow_between(names: Iterable[str]) -> list[Any]:
    """Names of graphs as parameters; sizes between the small and the largest are slow tests."""
    return [
        pytest.param(name, marks=pytest.mark.slow if BETWEEN.fullmatch(name) else [])
        for name in names
    ]
