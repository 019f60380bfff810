"""Videos that cannot be completed are named; the rest is tested with the other writers."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from engine.inference.video_file import VideoFile, is_whole_mp4
from utils.writing import OutputError

IMAGE = np.zeros((48, 64, 3), np.uint8)


def test_a_video_cut_short_by_a_full_disk_is_named_and_removed(tmp_path):
    video = VideoFile(tmp_path / "a.mp4", 10, (64, 48))
    video.add(IMAGE, 1)
    video._writer.release()
    (part,) = tmp_path.iterdir()
    content = part.read_bytes()
    assert is_whole_mp4(part)
    part.write_bytes(content[: len(content) // 2])
    assert not is_whole_mp4(part)
    with pytest.raises(OutputError, match=r"a\.mp4: cannot be written \(OpenCV wrote no whole"):
        video.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"\0\0\0\x08ftyp", b"\0\0\0\x63moov1234"])
def test_other_files_are_no_whole_videos(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    assert not is_whole_mp4(tmp_path / "x.mp4")


def test_a_video_in_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = tmp_path / "\udcb3"
    folder.mkdir()
    video = VideoFile(folder / "\udcb5.mp4", 10, (64, 48))
    video.add(IMAGE, 1)
    video.close()
    assert is_whole_mp4(folder / "\udcb5.mp4")


def test_a_video_on_a_disk_that_fills_up_is_kept_as_far_as_it_goes(tmp_path, monkeypatch):
    space = SimpleNamespace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: space)
    video, image = VideoFile(tmp_path / "a.mp4", 30, (64, 48)), np.zeros((48, 64, 3), np.uint8)
    for number in range(1, 31):
        video.add(image, number)
    space.free = 1 << 20
    with pytest.raises(OutputError, match=r"nearly full, the video ends after frame 30"):
        video.add(image, 31)
    video.close()
    assert is_whole_mp4(tmp_path / "a.mp4")


def test_no_video_without_a_frame_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    video = VideoFile(tmp_path / "a.mp4", 30, (64, 48))
    with pytest.raises(OutputError, match="nearly full"):
        video.add(np.zeros((48, 64, 3), np.uint8), 1)
    video.close()
    assert not list(tmp_path.iterdir())


def test_a_video_whose_folder_vanishes_ends_soon(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    video = VideoFile(folder / "a.mp4", 30, (64, 48))
    shutil.rmtree(folder)
    with pytest.raises(OutputError, match="its folder does not exist"):
        video.add(np.zeros((48, 64, 3), np.uint8), 1)
    video.close()
