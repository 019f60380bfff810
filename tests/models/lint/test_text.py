"""The rules about the text of files: names that choose a scale, and comments behind rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.lint.fix import lint
from utils.files import ROOT

SMALL = """nc: 1
scales: {n: [0.33, 0.25, 1024], s: [0.33, 0.5, 1024]}
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]] # here
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc]]
"""


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("yolov8_s.yaml", "yolov8s.yaml"),
        ("yolov8-CBAM-s.yaml", "yolov8s-CBAM.yaml"),
        ("YOLOv8n_SE.yaml", "yolov8n_SE.yaml"),
        ("v8s_SE.yaml", "yolov8s_SE.yaml"),
        ("yolov8sk.yaml", "yolov8_sk.yaml"),
        ("yolov8s_SE.yaml", ""),
        ("yolov8_SE.yaml", ""),
        ("mine.yaml", ""),
        ("yolov8-p2.yaml", ""),
    ],
)
def test_names_that_seem_to_choose_a_scale(name: str, meant: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(SMALL)
    assert [finding.meant for finding in lint(tmp_path / name)] == ([meant] if meant else [])


@pytest.mark.parametrize(
    ("comment", "wrong"),
    [
        ("# 1", True),
        ("# 1: stage", True),
        ("# 1-P3/8", True),
        ("# layer 1", True),
        ("# 2 (P3/8-small)", False),
        ("# 2-P3/8", False),
        ("# 2-P4", True),
        ("# P4/16", True),
        ("# 8 heads, P5 of the backbone", False),
        ("# 3x3 twice", False),
        ("# 0.5 of it", False),
    ],
)
def test_which_comments_contradict_a_row(comment: str, wrong: bool, tmp_path: Path) -> None:
    (tmp_path / "yolov8n.yaml").write_text(SMALL.replace("# here", comment))
    assert [finding.rule for finding in lint(tmp_path / "yolov8n.yaml")] == ["comment"] * wrong


def with_comments(numbers: dict[int, int]) -> str:
    """YOLOv8's graph, each row with the number given for it as its only comment, or with none."""
    text = (ROOT / "models" / "yolov8.yaml").read_text()

    def comment(row: re.Match[str]) -> str:
        number = numbers.get(int(row[1]))
        return "" if number is None else f" # {number}"

    return re.sub(r" # (\d+)(:.*)?$", comment, text, flags=re.MULTILINE)


def test_sizes_of_maps_in_comments_are_no_numbers_of_rows(tmp_path: Path) -> None:
    file, sides = tmp_path / "yolov8n.yaml", {0: 320, 1: 160, 2: 160, 3: 80, 9: 20, 12: 40}
    for numbers, faulty in (
        (sides, []),
        ({**sides, 4: 4, 6: 6, 7: 8}, [7]),  # 8 is no size of that map
        ({row: row + 1 for row in sides}, sorted(sides)),
    ):
        file.write_text(with_comments(numbers))
        assert [finding.row for finding in lint(file)] == faulty


def test_a_key_that_stands_twice_is_found_at_every_level(tmp_path: Path) -> None:
    text = SMALL.replace("nc: 1\n", "nc: 1\nnc: 2\n")
    text = text.replace(
        "[16, 3, 2]] # here",
        "[16, 3, 2]]\n  - [-1, 1, SimAM, {e_lambda: 1.0e-4, e_lambda: 1.0e-5}]",
    )
    text = text.replace("[[2, 3], 1", "[[3, 4], 1")
    (tmp_path / "mine.yaml").write_text(text)
    found = [finding for finding in lint(tmp_path / "mine.yaml") if finding.rule == "key"]
    assert [(one.line, one.what.partition(":")[0]) for one in found] == [
        (2, "`nc`"),
        (8, "`e_lambda`"),
    ]
    assert "not the one in line 1" in found[0].what
