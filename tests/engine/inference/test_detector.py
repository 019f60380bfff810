"""A batch of frames gives what each gives alone, and a device is waited for once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.inference.detector import Detector
from engine.inference.settings import DetectConfig
from tests.simulated_cuda import COUNTS, simulate, simulated_cuda
from tests.tiny import lively, write_free_graph, write_graph
from utils.structures import Detections, Frame

NAMES = {0: "a", 1: "b"}
CONFIG = DetectConfig(imgsz=(64,), conf_thres=0.01, max_det=5)
# Waits for a batch of so many frames: the end of the network, two or three selections, each
# frame's suppression, and the copy of the results. They may be lowered, and are raised only with a
# reason.
WAITS = {1: 5, 4: 9}


def frames(count: int) -> list[Frame]:
    noise = np.random.default_rng(0)
    return [
        Frame(noise.integers(0, 255, (50, 100, 3), np.uint8), f"{number}", f"{number}")
        for number in range(count)
    ]


def assert_same(found: Detections, wanted: Detections) -> None:
    assert (found.path, found.size) == (wanted.path, wanted.size)
    assert len(wanted.boxes) == 5
    assert torch.allclose(found.boxes, wanted.boxes, atol=1e-3)
    assert torch.allclose(found.scores, wanted.scores, atol=1e-5)
    assert found.classes.tolist() == wanted.classes.tolist()


@pytest.mark.parametrize("write", [write_graph, write_free_graph])
def test_a_batch_gives_what_each_frame_gives_alone(tmp_path: Path, write) -> None:
    detector = Detector(lively(write(tmp_path), NAMES).eval().fuse(), CONFIG)
    batch = detector.find([detector.prepare(frame) for frame in frames(3)])
    for frame, found in zip(frames(3), batch, strict=True):
        alone = detector(frame)
        assert_same(found.detections, alone.detections)
        assert found.shape == alone.shape == (32, 64)
        assert (found.frame.image == frame.image).all()


def test_the_times_of_a_batch_are_shared_by_its_frames(tmp_path: Path, monkeypatch) -> None:
    detector = Detector(lively(write_graph(tmp_path), NAMES).eval().fuse(), CONFIG)
    ready = [detector.prepare(frame) for frame in frames(4)]
    clock = iter([0.0, 4.0, 20.0, 28.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    found = detector.find(ready)
    assert [one.times for one in found] == [(one.seconds + 1.0, 4.0, 2.0) for one in ready]


def waits_of(detector: Detector, count: int, monkeypatch) -> int:
    """How often the host waits for the device while it finds the objects of a batch."""
    asked = []
    monkeypatch.setattr("torch.accelerator.synchronize", asked.append)
    ready = [detector.prepare(frame) for frame in frames(count)]
    COUNTS.clear()
    detector.find(ready)
    assert COUNTS.copies.total() == 0  # the pixels are copied from memory that the device can read
    return COUNTS.waits.total() + len(asked)


@pytest.mark.parametrize("half", [False, True])
def test_a_device_is_waited_for_once_a_batch(tmp_path: Path, monkeypatch, half: bool) -> None:
    model = lively(write_graph(tmp_path), NAMES).eval().fuse()
    wanted = Detector(model, CONFIG)
    alone = [wanted(frame) for frame in frames(4)]
    with simulated_cuda():
        config = DetectConfig(imgsz=(64,), conf_thres=0.01, max_det=5, half=half)
        detector = Detector(simulate(model), config)
        one, four = (waits_of(detector, count, monkeypatch) for count in (1, 4))
        assert one <= WAITS[1]
        assert four <= WAITS[4]
        detector.is_timed = False
        assert waits_of(detector, 4, monkeypatch) == four - 1
        if not half:
            batch = detector.find([detector.prepare(frame) for frame in frames(4)])
            for found, known in zip(batch, alone, strict=True):
                assert_same(found.detections, known.detections)
