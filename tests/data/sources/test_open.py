from __future__ import annotations

import io
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.sources import open as sources
from data.sources.open import FileSource, open_source, usual_source
from utils.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def write_image(path: Path, value: int = 90, size: tuple[int, int] = (24, 32)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    good, content = cv2.imencode(path.suffix, np.full((*size, 3), value, np.uint8))
    assert good
    path.write_bytes(content.tobytes())
    return path


def write_video(path: Path, frames: int = 12, fps: float = 10.0) -> Path:
    """Frame k is grey of value 10 k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (48, 32))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((32, 48, 3), min(10 * number, 250), np.uint8))
    writer.release()
    return path


def paths_of(text: object) -> list[str]:
    source = open_source(str(text))
    assert isinstance(source, FileSource)
    return [Path(path).name for path in source.paths]


def test_one_image(tmp_path):
    file = write_image(tmp_path / "a.png", 77)
    (frame,) = open_source(str(file))
    assert (frame.path, frame.name, frame.kind, frame.item, frame.items) == (
        str(file),
        "a",
        "image",
        1,
        1,
    )
    assert frame.image.shape == (24, 32, 3)
    assert (frame.image == 77).all()


def test_folder_is_not_recursive_and_takes_media_only(tmp_path):
    for name in ("b.jpg", "a.PNG", "deep/c.jpg", ".hidden.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.jpg").mkdir()
    write_video(tmp_path / "v.avi")
    assert paths_of(tmp_path) == ["a.PNG", "b.jpg", "v.avi"]


def test_glob_is_recursive(tmp_path):
    for name in ("b.jpg", "a.png", "deep/c.jpg", "deep/er/d.jpg"):
        write_image(tmp_path / name)
    assert paths_of(tmp_path / "*.jpg") == ["b.jpg"]
    assert paths_of(tmp_path / "**" / "*.jpg") == ["b.jpg", "c.jpg", "d.jpg"]


def test_a_real_name_with_glob_letters_wins(tmp_path):
    write_image(tmp_path / "a[1].jpg")
    write_image(tmp_path / "a1.jpg")
    assert paths_of(tmp_path / "a[1].jpg") == ["a[1].jpg"]


def test_list_of_paths(tmp_path, monkeypatch):
    for name in ("one two.jpg", "sub/b.jpg", "sub/c.jpg"):
        write_image(tmp_path / name)
    rows = ["\ufeffone two.jpg", "", "# a remark", "sub/*.jpg", str(tmp_path / "sub")]
    (tmp_path / "list.txt").write_text("\r\n".join(rows), encoding="utf-8")
    assert paths_of(tmp_path / "list.txt") == ["one two.jpg", "b.jpg", "c.jpg", "b.jpg", "c.jpg"]
    monkeypatch.chdir(tmp_path / "sub")  # relative to the working folder first
    (tmp_path / "list.txt").write_text("b.jpg\n")
    assert [str(path) for path in open_source(str(tmp_path / "list.txt")).paths] == ["b.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_list_from_windows_is_read(tmp_path, encoding):
    write_image(tmp_path / "f" / "a.png")
    (tmp_path / "l.txt").write_text('f\\a.png\r\n"f/a.png"\r\n', encoding=encoding, newline="")
    assert paths_of(tmp_path / "l.txt") == ["a.png"] * 2


def test_an_image_of_an_unread_format_says_how_to_convert_it(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(UserError, match="HEIC is not read; save it as JPEG"):
        open_source(str(tmp_path / "a.heic"))


def test_list_names_the_row_that_is_wrong(tmp_path):
    write_image(tmp_path / "a.jpg")
    (tmp_path / "list.txt").write_text("a.jpg\nnone.jpg\n")
    with pytest.raises(UserError, match=r"list.txt:2: .*none.jpg: no such file"):
        open_source(str(tmp_path / "list.txt"))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00bad"])
def test_bad_lists(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"list\.txt"):
        open_source(str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("missing", "missing: no such file or folder"),
        ("missing/*.jpg", "holds no image or video"),
        ("", "is empty"),
        ("file:///etc/passwd.jpg", "without file://"),
        ("ftp://host/a.jpg", "is not a URL of rtsp"),
        ("http:///a.jpg", "is not a URL of"),
        ("https://www.youtube.com/watch?v=1", "yt-dlp"),
        ("https://youtu.be/1", "yt-dlp"),
        ("none.streams", "cannot be read"),
        ("screen 1 2", "screen \\[n\\]"),
        ("screen x", "screen \\[n\\]"),
    ],
)
def test_refusals_name_the_source(text, words):
    with pytest.raises(UserError, match=words) as caught:
        open_source(text)
    assert "\n" not in str(caught.value)


def test_folder_without_images(tmp_path):
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(UserError, match="holds no image or video"):
        open_source(str(tmp_path))
    with pytest.raises(UserError, match="holds no image or video"):
        open_source(str(tmp_path / "a.doc"))


def test_unreadable_images_are_told_and_skipped(tmp_path):
    write_image(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    write_image(tmp_path / "d.bmp")
    told: list[str] = []
    source = open_source(str(tmp_path), warn=told.append)
    assert [frame.name for frame in source] == ["a", "d"]
    assert [Path(path).name for path, _ in source.skipped] == ["b.jpg", "c.png"]
    assert len(told) == 2
    assert "b.jpg" in told[0]


def test_non_ascii_names(tmp_path):
    write_image(tmp_path / "käse 图片.png", 12)
    (frame,) = open_source(str(tmp_path))
    assert frame.name == "käse 图片"
    assert (frame.image == 12).all()


def test_video_frames(tmp_path):
    file = write_video(tmp_path / "clip.avi", 12)
    frames = list(open_source(str(file)))
    assert [frame.number for frame in frames] == list(range(1, 13))
    assert {(frame.kind, frame.name, frame.total, frame.fps) for frame in frames} == {
        ("video", "clip", 12, 10.0)
    }
    assert [round(frame.image.mean() / 10) for frame in frames] == list(range(12))


@pytest.mark.parametrize(("stride", "seen"), [(2, [0, 2, 4, 6, 8, 10]), (5, [0, 5, 10]), (50, [0])])
def test_video_stride(tmp_path, stride, seen):
    frames = list(open_source(str(write_video(tmp_path / "clip.avi", 12)), vid_stride=stride))
    assert [round(frame.image.mean() / 10) for frame in frames] == seen
    assert [frame.number for frame in frames] == list(range(1, len(seen) + 1))
    assert frames[0].total == len(seen)
    assert frames[0].fps == pytest.approx(10 / stride)


def test_damaged_video_is_skipped_or_told(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    told: list[str] = []
    source = open_source(str(tmp_path / "a.mp4"), warn=told.append)
    assert list(source) == []
    assert source.skipped == [(str(tmp_path / "a.mp4"), "no frame of this video can be decoded")]
    whole = write_video(tmp_path / "b.avi", 60)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    assert 10 < len(list(open_source(str(whole), warn=told.append))) < 60


def test_image_url_is_fetched_once_and_nothing_is_left(tmp_path, monkeypatch):
    asked = []

    def answer(request, timeout):
        asked.append(request.full_url)
        return io.BytesIO(write_image(tmp_path / "a.png", 55).read_bytes())

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.chdir(tmp_path)
    (frame,) = open_source("https://host/images/cat.png?x=1")
    assert asked == ["https://host/images/cat.png?x=1"]
    assert frame.name == "cat"
    assert (frame.image == 55).all()
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_url_without_answer_is_skipped(monkeypatch):
    import urllib.error

    def refuse(request, timeout):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    source = open_source("http://user:pw@host/a.jpg", warn=lambda text: None)
    assert list(source) == []
    assert source.skipped == [("http://host/a.jpg", "cannot be fetched (no route)")]


def test_streams_go_to_live_sources(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "data.sources.streams.LiveSource",
        lambda places, stride, warn: opened.append((places, stride)),
    )
    (tmp_path / "a.streams").write_text("0\nrtsp://cam/1\n\n# remark\nhttp://cam/mjpeg\n")
    for text in ("0", "rtsp://cam/1", "http://cam/mjpeg", str(tmp_path / "a.streams")):
        open_source(text, 3)
    assert opened == [
        (["0"], 3),
        (["rtsp://cam/1"], 3),
        (["http://cam/mjpeg"], 3),
        (["0", "rtsp://cam/1", "http://cam/mjpeg"], 3),
    ]


@pytest.mark.parametrize("content", ["", "nonsense\n", "ftp://x/y\n"])
def test_bad_stream_lists(tmp_path, content):
    (tmp_path / "a.streams").write_text(content)
    with pytest.raises(UserError, match="--source"):
        open_source(str(tmp_path / "a.streams"))


def test_without_a_source_the_validation_images_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "MOST_SHOWN", 2)
    with pytest.raises(UserError, match="--source: give an image"):
        usual_source("")
    for number in range(3):
        file = tmp_path / "set" / "images" / f"{number}.png"
        write_image(file)
        label = tmp_path / "set" / "labels" / f"{number}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "d.yaml").write_text(
        f"path: {tmp_path / 'set'}\ntrain: images\nval: images\nnames: [a]\n"
    )
    source = usual_source(str(tmp_path / "d.yaml"))
    assert [frame.name for frame in source] == ["0", "1"]
    assert "2 of 3 validation images" in capsys.readouterr().out
    write_image(tmp_path / "data" / "images" / "x.png")
    assert [frame.name for frame in usual_source("")] == ["x"]


def test_a_camera_of_impossible_number_is_refused() -> None:
    with pytest.raises(UserError, match="is no camera"):
        open_source("9" * 21)
