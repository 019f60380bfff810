from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest

from data.sources import streams
from data.sources.open import open_source
from data.sources.streams import LiveSource, StreamReader, fetch, plausible_fps
from utils.errors import UserError


class Camera:
    """Stands for cv2.VideoCapture: `frames` frames whose value is their number, at most one each
    `pause` seconds.
    """

    def __init__(
        self, frames: int = 5, pause: float = 0.0, opened: bool = True, fps: float = 25.0
    ) -> None:
        self.frames, self.pause, self.opened, self.fps = frames, pause, opened, fps
        self.number, self.released = 0, False

    def isOpened(self) -> bool:
        return self.opened

    def get(self, key: int) -> float:
        return self.fps if key == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        time.sleep(self.pause)
        self.number += 1
        return self.number <= self.frames

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((4, 6, 3), self.number % 256, np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(streams, "PAUSE", 0.01)


@pytest.fixture
def use(monkeypatch):
    """use(opener) makes streams open what opener returns for a place."""
    return lambda opener: monkeypatch.setattr(streams, "open_capture", opener)


def test_only_the_newest_frame_is_kept(use):
    camera = Camera(frames=100, pause=0.001)
    use(lambda place: camera)
    reader = StreamReader("0")
    time.sleep(0.05)
    first = reader.newest(1.0)
    assert first is not None
    assert first[1] > 5  # older frames were dropped
    assert (first[0] == first[1]).all()
    second = reader.newest(1.0)
    assert second is not None
    assert second[1] > first[1]
    reader.close()


def test_close_stops_the_thread_and_the_camera(use):
    camera = Camera(frames=10**9, pause=0.001)
    use(lambda place: camera)
    source = LiveSource(["0"])
    assert next(iter(source)).image.shape == (4, 6, 3)
    before = threading.active_count()
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.0
    assert threading.active_count() == before - 1
    assert camera.released


def test_several_streams_take_turns_and_end(use):
    use({"0": Camera(30, 0.002), "1": Camera(30, 0.002)}.__getitem__)
    told: list[str] = []
    source = LiveSource(["0", "1"], warn=told.append)
    frames = list(source)
    assert {(frame.item, frame.items, frame.name) for frame in frames} == {(1, 2, "0"), (2, 2, "1")}
    assert frames[-1].number == 30  # the last frame is never lost
    assert all(frame.kind == "stream" and frame.fps == 25 for frame in frames)
    assert len(told) == 2


def test_stride_of_a_stream(use):
    camera = Camera(30, 0.001)
    use(lambda place: camera)
    reader = StreamReader("0", vid_stride=10)
    seen = []
    while not reader.ended:
        found = reader.newest(0.2)
        if found:
            seen.append(int(found[0][0, 0, 0]))
    assert set(seen) <= {1, 11, 21}
    assert seen[-1] == 21


def test_a_stream_that_breaks_is_opened_again(use):
    opened = []

    def opener(place: str) -> Camera:
        opened.append(place)
        return Camera(frames=3 if len(opened) in (1, 3) else 0)

    use(opener)
    frames = list(LiveSource(["rtsp://cam/1"], warn=lambda text: None))
    assert frames[-1].number == 6
    assert len(opened) == 3 + streams.ATTEMPTS


def test_a_missing_camera_is_an_error_of_the_user_and_stops_the_others(use):
    good = Camera(10**9, 0.001)
    use({"0": good, "rtsp://me:secret@cam/1": Camera(opened=False)}.__getitem__)
    with pytest.raises(UserError, match="rtsp://cam/1: cannot be opened"):
        LiveSource(["0", "rtsp://me:secret@cam/1"])
    assert good.released


def test_a_file_as_a_stream_ends(tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 100.0, (48, 32))
    for _ in range(10):
        writer.write(np.zeros((32, 48, 3), np.uint8))
    writer.release()
    (tmp_path / "a.streams").write_text(f"{path}\n")
    frames = list(open_source(str(tmp_path / "a.streams"), warn=lambda text: None))
    assert frames[-1].number == 10
    assert frames[0].fps == 100


@pytest.mark.parametrize(
    ("fps", "used"), [(25, 25), (0, 30), (float("nan"), 30), (90000, 30), (-1, 30)]
)
def test_plausible_fps(fps, used):
    assert plausible_fps(fps) == used


def test_too_large_a_download(monkeypatch):
    import io

    monkeypatch.setattr(streams, "LARGEST_DOWNLOAD", 10)
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: io.BytesIO(b"x" * 11))
    with pytest.raises(OSError, match="is larger than"):
        fetch("http://host/a.jpg")
