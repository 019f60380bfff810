"""Edits of a file's text change what they name and nothing else."""

from __future__ import annotations

from pathlib import Path

from models.lint.document import read_document
from models.lint.finding import Fix


def test_edits_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "nc: 80  # classes\nold: 3\nbackbone:\n  - [-1, 1, Conv, [8, 3]] # 0\nhead: [[[0], 1,"
        " Detect, [nc]]]"
    )
    document = read_document(file)
    fixes = [
        Fix("key", -1, "old", None),
        Fix("from", 1, 0, -1),
        Fix("args", 0, 0, [8, 3, 2]),
        Fix("key", -1, "nc", "x"),
    ]
    assert (
        document.edited(fixes)
        == "x: 80  # classes\nbackbone:\n  - [-1, 1, Conv, [8, 3, 2]] # 0\nhead: [[[-1], 1, Detect,"
        " [nc]]]"
    )
