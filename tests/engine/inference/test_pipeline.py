"""Sources through a detector: order of frames and notes, live sources, early ends, full disks."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

import detect
from api import YOLO
from data.sources import streams
from data.sources.memory import MixedSource
from data.sources.open import FileSource, LiveFrames
from engine.inference import outputs
from engine.inference.at_once import Computing
from engine.inference.console import Found, SilentConsole, Viewer
from engine.inference.detector import Detector
from engine.inference.pipeline import found_in, predict, show
from engine.inference.settings import DetectConfig
from engine.inference.writers import ImageWriter, LabelWriter
from tests.data.sources.test_streams import Camera
from tests.tiny import lively, write_graph
from utils.errors import run_main
from utils.structures import Frame

CONFIG = DetectConfig(imgsz=(64,), conf_thres=0.01, max_det=3)
NAMES = {0: "a", 1: "b"}


@pytest.fixture
def detector(tmp_path) -> Detector:
    return Detector(lively(write_graph(tmp_path), NAMES).eval().fuse(), CONFIG)


def our_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name in ("reader", "worker", "writer")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert not our_threads()


@pytest.fixture
def on_two_threads(monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


def pictures(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    return [noise.integers(0, 255, (40 + 8 * (k % 2), 64, 3), np.uint8) for k in range(count)]


def write_video(path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for image in pictures(2 * frames)[1::2]:
        writer.write(image)
    writer.release()


def frames_of(path) -> int:
    """The number of frames that a video says it has. It is closed at once: it has threads."""
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


def assert_same(found: list[Found], wanted: list[Found]) -> None:
    assert [one.frame.name for one in found] == [one.frame.name for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.detections.boxes, other.detections.boxes)
        assert torch.equal(one.detections.scores, other.detections.scores)


def test_threads_give_what_single_calls_give(detector, on_two_threads):
    source = MixedSource(pictures(9))
    assert_same(list(found_in(source, detector)), [detector(frame) for frame in source])


def test_a_note_comes_between_the_frames_that_it_stands_between(detector, on_two_threads, tmp_path):
    for name in "acdf":
        cv2.imwrite(str(tmp_path / f"{name}.png"), pictures(1)[0])
    write_video(tmp_path / "g.avi", 3)
    for name in ("b.png", "e.mp4", "h.png"):
        (tmp_path / name).write_bytes(b"broken")
    said: list[str] = []
    paths = [str(path) for path in sorted(tmp_path.glob("?.*"))]
    source = FileSource(paths, warn=lambda line: said.append(line.partition(":")[0][-5:]))
    warn = source.warn
    for found in found_in(source, detector):
        said.append(found.frame.name)
    assert said == ["a", "b.png", "c", "d", "e.mp4", "f", "g", "g", "g", "h.png"]
    assert len(source.skipped) == 3
    assert source.warn is warn


def test_a_source_without_a_frame_gives_none(detector, tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    said: list[str] = []
    source = FileSource([str(tmp_path / "a.png")], warn=said.append)
    assert list(found_in(source, detector)) == []
    assert len(said) == 1


def test_an_error_of_reading_comes_after_the_frames_before_it(detector):
    class Torn(MixedSource):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            raise OSError("the disk has gone")

    seen = []
    with pytest.raises(OSError, match="the disk has gone"):
        for found in found_in(Torn(pictures(3)), detector):
            seen.append(found)
    assert len(seen) == 3


def test_memory_is_bounded_and_an_early_end_closes_the_threads(detector, on_two_threads):
    class Endless(MixedSource):
        given = 0

        def __iter__(self) -> Iterator[Frame]:
            while True:
                self.given += 1
                yield Frame(self.parts[0], "x", "x", "video", items=1, number=self.given)

    source = Endless(pictures(1))
    with contextlib.closing(found_in(source, detector)) as results:
        for _ in range(3):
            next(results)
        time.sleep(0.02)
        assert source.given < 20
        assert our_threads() == ["reader", "worker", "worker"]
    assert not our_threads()


class Streams:
    """Two live streams; the second gives every other frame only."""

    items, skipped, warn = 2, [], print

    def __init__(self) -> None:
        self.asked: list[int] = []

    def rounds(self, most: int) -> Iterator[list[Frame]]:
        for number in range(1, 5):
            self.asked.append(most)
            first, second = (
                Frame(image, name, name, "stream", k, 2, number)
                for k, (image, name) in enumerate(zip(pictures(2), "ab", strict=True), 1)
            )
            yield [first, second] if number % 2 else [first]

    def close(self) -> None: ...


def test_the_streams_of_a_round_are_computed_before_the_next_one_is_taken(detector, on_two_threads):
    source = Streams()
    assert isinstance(source, LiveFrames)
    seen = [(found.frame.name, len(source.asked)) for found in found_in(source, detector)]
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 3), ("a", 4)]
    assert source.asked == [2] * 4


def test_several_cameras_give_their_newest_frames(monkeypatch):
    cameras = {"0": Camera(10**9, 0.001), "1": Camera(10**9, 0.001), "2": Camera(10**9, 0.001)}
    monkeypatch.setattr(streams, "open_capture", cameras.__getitem__)
    monkeypatch.setattr(streams, "PAUSE", 0.001)
    source = streams.LiveSource(["0", "1", "2"], warn=lambda line: None)
    rounds = source.rounds(2)
    time.sleep(0.03)
    last = dict.fromkeys(source.places, 0)
    with contextlib.closing(source):
        for _ in range(5):
            frames = next(rounds)
            time.sleep(0.01)
            assert 1 <= len(frames) <= 2
            assert len({frame.name for frame in frames}) == len(frames)
            assert all(frame.number > last[frame.path] for frame in frames)
            last.update((frame.path, frame.number) for frame in frames)
        assert all(last.values())  # each camera has its turn


def test_predict_does_not_wait_for_the_device_between_its_stages(detector, monkeypatch):
    waits: list[object] = []
    monkeypatch.setattr("engine.inference.detector.synchronised_time", waits.append)
    assert len(list(predict(detector.model, [Frame(pictures(1)[0], "x", "x")], CONFIG))) == 1
    assert not waits


@pytest.fixture
def program(detector, monkeypatch, tmp_path):
    """detect.main() with the detector's model, in a folder with a video and two pictures."""
    monkeypatch.setattr(detect, "load", lambda config: (detector.model, config, ""))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in/v.avi", 12)
    for name, image in zip("ab", pictures(2), strict=True):
        cv2.imwrite(f"in/{name}.png", image)
    return tmp_path / "runs/detect/exp"


FLAGS = ["--source", "in", "--imgsz", "64", "--conf-thres", "0.01", "--max-det", "3"]


def test_threads_change_no_file(program, on_two_threads, capsys):
    flags = [*FLAGS[:-1], "1", "--save-txt", "--save-csv", "--save-crop", "--save-conf"]
    folders = [detect.main([*flags, "--batch-size", size]) for size in "012"]
    files = [
        {str(path.relative_to(one)): path.read_bytes() for path in one.rglob("*") if path.is_file()}
        for one in folders
    ]
    assert files[0] == files[1] == files[2]
    assert len([name for name in files[0] if name.startswith("labels/v_")]) == 12
    rows = files[0]["predictions.csv"].decode().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["a.png", "b.png"] + ["v.avi"] * 12


def fail_at(monkeypatch, kind: type, number: int, error: BaseException) -> list[str]:
    """Let a writer raise an error at its nth frame; returns the names that it has written."""
    written, call = [], kind.__call__

    def failing(self, frame: Frame, *rest: object) -> None:
        if len(written) == number:
            raise error
        call(self, frame, *rest)
        written.append(frame.name)

    monkeypatch.setattr(kind, "__call__", failing)
    return written


@pytest.mark.parametrize("kind", [LabelWriter, ImageWriter])
def test_a_full_disk_is_one_line_and_what_was_written_before_is_whole(
    program, on_two_threads, monkeypatch, capsys, kind
):
    error = outputs.UserError("v.mp4: cannot be written (No space left on device); free some space")
    written = fail_at(monkeypatch, kind, 7, error)
    assert run_main(detect.main, [*FLAGS, "--save-txt"]) == 2
    assert capsys.readouterr().err == f"error: {error}\n"
    assert written == ["a", "b"] + ["v"] * 5
    labels = {path.stem for path in (program / "labels").glob("*.txt")}
    assert labels >= {"a", "b", "v_1", "v_5"}
    assert frames_of(program / "v.mp4") == 5


def test_ctrl_c_keeps_what_was_computed(program, on_two_threads, monkeypatch, capsys):
    console = detect.Console
    shown = []

    class Stopping(console):
        def show(self, found: Found) -> None:
            if len(shown) == 6:
                signal.raise_signal(signal.SIGINT)
            shown.append(found.frame.number)
            super().show(found)

    monkeypatch.setattr(detect, "Console", Stopping)
    with pytest.raises(SystemExit) as caught:
        detect.main([*FLAGS, "--save-txt"])
    assert caught.value.code == 130
    assert "stopped; the results so far are saved" in capsys.readouterr().err
    assert shown == [0, 0, 1, 2, 3, 4]
    assert len(list((program / "labels").iterdir())) == 7  # the seventh had no line yet
    assert frames_of(program / "v.mp4") == 5


def test_a_reader_of_the_output_that_has_ended_ends_the_run(program, monkeypatch):
    lines = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise BrokenPipeError

    monkeypatch.setattr("engine.inference.console.print_anywhere", say)
    with pytest.raises(BrokenPipeError):
        detect.main([*FLAGS, "--save-txt"])
    assert len(list((program / "labels").iterdir())) == 2


def test_q_ends_at_the_frame_that_is_shown(program, monkeypatch):
    seen = []

    def show_one(self, frame: Frame, drawn: np.ndarray) -> bool:
        assert threading.current_thread() is threading.main_thread()
        seen.append(drawn)
        return len(seen) < 5

    monkeypatch.setattr(outputs, "why_no_window", lambda: "")
    monkeypatch.setattr(Viewer, "__call__", show_one)
    folder = detect.main([*FLAGS, "--view-img", "--save-txt"])
    assert len(seen) == len(list((folder / "labels").iterdir())) == 5


def test_a_stream_of_results_is_written_before_it_is_given_away(program, detector, tmp_path):
    model = YOLO(str(tmp_path / "tiny.yaml"))
    results = model("in", stream=True, save_txt=True, conf=0.0001, imgsz=64, verbose=False)
    first = next(results)
    assert (program / "labels" / "a.txt").is_file()
    assert not list((program / "labels").glob("v_*"))
    assert len(first.boxes)
    assert our_threads()
    del results  # a consumer that stops early
    assert not our_threads()


def test_show_writes_and_prints_each_before_it_yields(detector):
    done: list[object] = []
    console = SilentConsole()

    def note(found: Found) -> bool:
        done.append((console.frames, found.frame.name))
        return len(done) < 2

    results = show(MixedSource(pictures(4)), detector, console, note)
    assert [found.frame.name for found in results] == ["image0", "image1"]
    assert done == [(0, "image0"), (1, "image1")]
    assert console.frames == 2


def test_a_single_image_gets_the_whole_processor(detector, on_two_threads, monkeypatch):
    counts = []
    begin = Computing.__init__

    def note(self, detector, most):
        begin(self, detector, most)
        counts.append(self.count)

    monkeypatch.setattr(Computing, "__init__", note)
    list(found_in(MixedSource(pictures(1)), detector))
    list(found_in(MixedSource(pictures(2)), detector))
    assert counts == [1, 2]
