"""What a finished cell's files may hold, and that anything else is one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablation.files import read_curve, read_json, read_metrics, read_timing
from utils.errors import UserError

CLASS = {"class_id": 0, "name": "disc", "ap": 0.5}


def put(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content", [{"map": 0.4, "map50": 1, "classes": [CLASS]}, {"map": None}, {"map": 0.0}]
)
def test_scores_are_read(tmp_path: Path, content: dict[str, object]) -> None:
    assert read_metrics(put(tmp_path / "metrics.json", content)) == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "has no score"),
        ({"map": "0.4"}, "map: '0.4': must be between 0 and 1"),
        ({"map": 40.0}, "map: 40.0: must be between 0 and 1"),
        ('{"map": NaN}', "map: nan"),
        ({"map": True}, "map: True"),
        ({"map": 0.4, "map50": "x"}, "map50: 'x'"),
        ({"map": 0.4, "classes": "abc"}, "classes: must be a list"),
        ({"map": 0.4, "classes": [{"a": 1}]}, "classes: must be a list"),
        ([1], "is not a mapping"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_damaged_scores_are_named(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_metrics(put(tmp_path / "metrics.json", content))
    assert f"metrics.json: {said}" in str(caught.value)
    assert str(caught.value).endswith("delete the folder, and the run is repeated")


@pytest.mark.parametrize("content", [None, b"", b"epoch\n", b"\xff\x00\x01"])
def test_a_curve_without_epochs_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"results.csv: .*; delete the folder"):
        read_curve(tmp_path / "results.csv")


def test_times_are_numbers_or_nothing(tmp_path: Path) -> None:
    assert read_timing(tmp_path / "timing.json") == read_json(tmp_path / "timing.json") == {}
    assert read_timing(put(tmp_path / "timing.json", {"forward": 0.5})) == {"forward": 0.5}
    with pytest.raises(UserError, match=r"timing.json: loader: 'x': must be a number"):
        read_timing(put(tmp_path / "timing.json", {"loader": "x", "images": 3}))
