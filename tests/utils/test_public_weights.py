"""A missing file of published weights: where its owner has it, and what to do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.errors import UserError
from utils.files import find_file
from utils.public_weights import ASSETS_PAGE, V5_PAGE, remedy_for


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("yolov5s.pt", V5_PAGE),
        ("weights/yolov5x6.pt", V5_PAGE),
        ("yolov8n.pt", ASSETS_PAGE),
        ("yolo11m.pt", ASSETS_PAGE),
        ("yolo12x.pt", ASSETS_PAGE),
    ],
)
def test_a_published_file_has_its_page(name: str, page: str) -> None:
    remedy = remedy_for(name)
    assert f" {page} " in remedy
    assert remedy.endswith(f"--weights {name}")


@pytest.mark.parametrize("name", ["best.pt", "yolov5s", "my_yolov5s.pt", "yolov5q.pt", "a.yaml"])
def test_any_other_file_is_just_missing(name: str) -> None:
    assert remedy_for(name) == "check the path"


def test_weights_of_other_tasks_are_not_recommended() -> None:
    assert "boxes only" in remedy_for("yolov5s-seg.pt")


def test_the_message_for_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"^yolov5s\.pt: no such file; nothing is downloaded"
    ) as error:
        find_file("yolov5s.pt")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no such file; check the path"):
        find_file("best.pt")
