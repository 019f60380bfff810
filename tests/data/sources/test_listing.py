"""Files of a source folder that are not read are named, and nothing that blocks is opened."""

import os

import cv2
import numpy as np
import pytest

from data.sources.listing import notes_on_folder, source_lines
from data.sources.open import open_source
from utils.errors import UserError


@pytest.mark.parametrize("suffix", ["jpg", "mp4"])
def test_a_named_pipe_among_the_sources_is_skipped_and_named(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 20, 3), np.uint8))
    os.mkfifo(tmp_path / f"b.{suffix}")
    said: list[str] = []
    source = open_source(str(tmp_path), warn=said.append)
    assert [frame.name for frame in source] == ["a"]
    assert len(source.skipped) == 1
    assert "is a named pipe" in said[0]


def test_files_that_are_left_out_of_a_folder_are_named(tmp_path):
    for name in ("a.jpg", "notes.txt", "b.heic", "._a.jpg", "x.csv"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    notes = notes_on_folder(tmp_path, [str(tmp_path / "a.jpg")])
    assert [note.rpartition(": ")[2] for note in notes] == [
        "1 (b.heic)",
        "2 (notes.txt, x.csv)",
        "1 (._a.jpg)",
        "1 (deep)",
    ]
    assert "magick" in notes[0]


def test_a_pipe_as_a_list_is_one_line_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.streams")
    with pytest.raises(UserError, match="named pipe"):
        source_lines(tmp_path / "a.streams")
    os.mkfifo(tmp_path / "b.jpg")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        open_source(str(tmp_path / "b.jpg"))
