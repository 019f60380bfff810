"""Folders and lists of files: what is found, what is skipped, and what is reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.formats.files import note_unread, read_lines, select_images, walk_files
from utils.errors import UserError


def test_hidden_files_are_skipped_and_links_followed_once(tmp_path: Path) -> None:
    for name in ("a.jpg", "deep/b.png", ".hidden.jpg", ".cache/c.jpg", "other/d.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    (tmp_path / "set" / "other").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "link")
    os.symlink(tmp_path / "set", tmp_path / "set" / "deep" / "back")
    found = [os.path.relpath(file, tmp_path / "set") for file in walk_files(tmp_path / "set")]
    assert sorted(found) == ["a.jpg", "deep/b.png", "link/d.jpg"]


def test_images_are_sorted_and_other_kinds_noted() -> None:
    files = ["b.JPG", "a.png", "notes.txt", "film.gif", "z.heic"]
    assert select_images(files) == ["a.png", "b.JPG", "film.gif"]
    assert [(entry.file, entry.kind) for entry in note_unread(files)] == [
        ("z.heic", "HEIC is not read"),
    ]


def test_lines_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\n  b c.jpg \n")
    assert read_lines(tmp_path / "list.txt") == ["a.jpg", "b c.jpg"]
    (tmp_path / "wide.txt").write_bytes("ä.jpg".encode("utf-16"))
    assert read_lines(tmp_path / "wide.txt") == ["ä.jpg"]
    (tmp_path / "latin.txt").write_bytes(b"\xe4.jpg")
    for name in ("latin.txt", "none.txt"):
        with pytest.raises(UserError, match=f"{name}: cannot be read as a UTF-8 list"):
            read_lines(tmp_path / name)
