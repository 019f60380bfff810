"""What the tests of data/ share: a cache of their own, and small data sets on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))


def _paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 60, 3), 90, np.uint8))


@pytest.fixture
def paint() -> Callable[[Path], None]:
    """paint(path) writes a gray image, 40 pixels high and 60 wide."""
    return _paint


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """make({"a": label text or None}, **YAML keys) writes images and labels, and returns the
    YAML.
    """

    def write(labels: dict[str, str | None], **keys: Any) -> Path:
        root = tmp_path / "set"
        for name, text in labels.items():
            _paint(root / "images" / "train" / f"{name}.png")
            if text is not None:
                file = root / "labels" / "train" / f"{name}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        content = {
            "path": str(root),
            "train": "images/train",
            "val": "images/train",
            "names": ["cat", "dog"],
            **keys,
        }
        (tmp_path / "data.yaml").write_text(json.dumps(content))
        return tmp_path / "data.yaml"

    return write
