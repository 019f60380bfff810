"""Lists of images: spellings of Windows, quotes, comments, and what is said of missing files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data.formats.files import read_bytes
from data.formats.lists import read_image_list
from data.report import KEPT_AS_IS, LEFT_OUT
from data.scanning.load import load_dataset
from utils.errors import UserError
from utils.regular_file import open_regular


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "lists").mkdir()
    for name in ("a.jpg", "b c.jpg", "#3.jpg"):
        (tmp_path / "set" / "images" / name).touch()
    (tmp_path / "lists" / "beside.jpg").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("images/a.jpg", "set/images/a.jpg"),
        ("./beside.jpg", "lists/beside.jpg"),
        ("./images/a.jpg", "set/images/a.jpg"),
        (".\\images\\a.jpg\r", "set/images/a.jpg"),
        ("images\\b c.jpg   ", "set/images/b c.jpg"),
        ('"images/b c.jpg"', "set/images/b c.jpg"),
        ("'images\\a.jpg'", "set/images/a.jpg"),
        ("images/#3.jpg", "set/images/#3.jpg"),
        ("work/d.jpg", "elsewhere/work/d.jpg"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_windows_and_darknet_are_read(
    base: Path, line: str, wanted: str, encoding: str
) -> None:
    (base / "elsewhere" / "work").mkdir(parents=True)
    (base / "elsewhere" / "work" / "d.jpg").touch()
    file = base / "lists" / "l.txt"
    file.write_bytes(f"# a comment\n\n{line}\n".encode(encoding))
    bases = (base / "set", base / "lists", base / "elsewhere")
    found = read_image_list(file, bases)
    assert found.paths == [str(base / wanted)]
    assert (found.entries, found.missing, found.note(file, bases)) == ([], [], ())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("C:\\data\\a.jpg", "give paths relative to `path:`"),
        ("images/*.jpg", "patterns are not expanded"),
        ("images/none.jpg", "none.jpg"),
    ],
)
def test_a_missing_listed_image_is_said_with_the_folders_that_were_tried(
    base: Path, line: str, hint: str
) -> None:
    file = base / "lists" / "l.txt"
    file.write_text(f"images/a.jpg\n{line}\n")
    bases = (base / "set", base / "lists")
    (note,) = read_image_list(file, bases).note(file, bases)
    assert "1 of 2 images do not exist" in note
    assert hint in note
    assert f"(looked up in {base / 'set'}, {base / 'lists'})" in note


def test_an_image_that_is_listed_twice_and_a_line_without_an_image_are_named(base: Path) -> None:
    file = base / "lists" / "l.txt"
    file.write_text("images/a.jpg\nimages/a.jpg\nimages\nnotes.doc\nl.txt\n")
    found = read_image_list(file, (base / "set", base / "lists"))
    assert len(found.paths) == 2
    assert [(entry.action, entry.row) for entry in found.entries] == [
        (LEFT_OUT, 3),
        (LEFT_OUT, 4),
        (LEFT_OUT, 5),
        (KEPT_AS_IS, 0),
    ]
    assert "name lists and folders in the YAML" in found.entries[0].detail


def test_the_note_on_missing_images_is_in_the_report(make: Callable[..., Path]) -> None:
    yaml = make({"a": "0 .5 .5 .2 .2\n"}, train="list.txt")
    (yaml.parent / "set" / "list.txt").write_text("images/train/a.png\nD:\\x\\b.png\n")
    report = load_dataset(yaml, "train").report
    assert (report.total, report.corrupt) == (2, 1)
    assert "1 of 2 images do not exist" in report.summary()
    again = load_dataset(yaml, "train").report
    assert (again.origin, again.notes) == ("from the cache", report.notes)


def test_a_list_of_missing_images_alone_says_where_they_were_looked_up(
    make: Callable[..., Path],
) -> None:
    yaml = make({"a": None}, train="list.txt")
    (yaml.parent / "set" / "list.txt").write_text("train/images/a.png\n")
    with pytest.raises(UserError, match=r"none of 1 images can be used.*\(looked up in "):
        load_dataset(yaml, "train")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_instead_of_a_list_or_label_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "l.txt")
    with pytest.raises(UserError, match="named pipe"):
        read_image_list(tmp_path / "l.txt", (tmp_path,))
    for read in (read_bytes, open_regular):
        with pytest.raises(OSError, match="named pipe"):
            read(tmp_path / "l.txt")
