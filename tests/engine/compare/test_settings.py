"""The flags of compare.py: folders may stand first, and impossible values are refused."""

from __future__ import annotations

import pytest

from engine.compare.settings import COMPARE_LINE, CompareConfig
from utils.errors import UserError


def test_folders_may_stand_first() -> None:
    given = COMPARE_LINE.read(["runs/a", "runs/b", "--labels", "A", "B"])
    assert given == {"runs": ("runs/a", "runs/b"), "labels": ("A", "B")}
    assert COMPARE_LINE.read(["--each", "--runs", "a"]) == {"each": True, "runs": ("a",)}


@pytest.mark.parametrize(
    ("name", "value"),
    [("formats", ("gif",)), ("width", 0.0), ("rounds", 0), ("imgsz", 8), ("batch_size", 0)],
)
def test_impossible_values_are_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
        CompareConfig(**{name: value})  # type: ignore[arg-type]
