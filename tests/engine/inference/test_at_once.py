"""Several frames at once: batches on a device, threads on a processor."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
import torch

from engine.inference.at_once import Computing, groups, is_divisible
from engine.inference.detector import Detector
from engine.inference.prepared import InputFormat, Prepared, prepare
from engine.inference.settings import DetectConfig
from tests.tiny import lively, write_graph
from utils.structures import Frame

NAMES = {0: "a", 1: "b"}
FORMAT = InputFormat((64, 64), 32, 3)


def ready(*heights: int) -> list[Prepared]:
    noise = np.random.default_rng(0)
    return [
        prepare(Frame(noise.integers(0, 255, (height, 64, 3), np.uint8), f"{k}", f"{k}"), FORMAT)
        for k, height in enumerate(heights)
    ]


@pytest.fixture
def network(tmp_path):
    return lively(write_graph(tmp_path), NAMES).eval().fuse()


@pytest.fixture
def processor(monkeypatch):
    """A processor that has four threads for this process."""
    set_to: list[tuple[str, int]] = []

    def note(count: int) -> None:
        set_to.append((threading.current_thread().name, count))

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", note)
    return set_to


def test_neighbours_of_one_size_are_grouped_and_text_keeps_its_place():
    one, two, three, four, five, six = ready(64, 64, 64, 64, 30, 64)
    items = [one, two, three, "note", four, five, six]
    assert list(groups(items, lambda: 2)) == [[one, two], [three], "note", [four], [five], [six]]
    assert list(groups([], lambda: 2)) == []


def test_a_full_group_does_not_wait_for_the_next_frame():
    def frames():
        yield from ready(64, 64)
        raise AssertionError("another frame was asked for")

    assert len(next(groups(frames(), lambda: 2))) == 2


@pytest.mark.parametrize(
    ("batch_size", "most", "count"), [(0, 100, 4), (2, 100, 2), (9, 100, 4), (0, 3, 3), (0, 1, 1)]
)
def test_threads_share_the_processor(network, processor, batch_size, most, count):
    config = DetectConfig(imgsz=(64,), conf_thres=0.01, max_det=5, batch_size=batch_size)
    detector = Detector(network, config)
    items = ready(64, 64, 30, 64, 64, 64)
    alone = [detector.find([one])[0] for one in items]
    with contextlib.closing(Computing(detector, most)) as compute:
        assert compute.count == count
        answers = list(compute([*items[:2], "note", *items[2:]]))
    assert answers.pop(2) == "note"
    for found, wanted in zip(answers, alone, strict=True):
        assert found.frame is wanted.frame
        assert torch.equal(found.detections.boxes, wanted.detections.boxes)
    shares = [("worker", 4 // count)] * count + [("MainThread", 4)]
    assert processor == (shares if count > 1 else [])


def test_the_time_of_a_frame_is_its_share(network, processor, monkeypatch):
    detector = Detector(network, DetectConfig(imgsz=(64,), batch_size=2))
    (one,) = ready(64)
    (found,) = detector.find([one])
    monkeypatch.setattr(detector, "find", lambda group: [found])
    with contextlib.closing(Computing(detector, 9)) as compute:
        (shared,) = compute([one])
    before, inference, after = found.times
    assert shared.times == (before, inference / 2, after / 2)


def test_modules_that_may_keep_something_are_not_shared_by_threads(network, processor):
    class Own(torch.nn.Module):
        pass

    assert is_divisible(network)
    handle = network.register_forward_hook(lambda *_: None)
    assert not is_divisible(network)
    handle.remove()
    network.own = Own()
    assert not is_divisible(network)
    assert not is_divisible(lambda x: x)
    assert Computing(Detector(network, DetectConfig(imgsz=(64,))), 9).count == 1


LACK = torch.OutOfMemoryError("CUDA out of memory")


class Small:
    """A detector whose device has memory for three frames."""

    def __init__(self, batch_size: int = 0, error: Exception = LACK) -> None:
        self.error = error
        self.config, self.device = DetectConfig(batch_size=batch_size), torch.device("cuda:0")
        self.model, self.sizes = None, []

    def find(self, group):
        self.sizes.append(len(group))
        if len(group) > 3:
            raise self.error
        return group


@pytest.mark.parametrize(
    "error",
    [
        LACK,
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_a_batch_that_does_not_fit_is_divided(error):
    detector, items = Small(error=error), ready(*[64] * 11)
    assert list(Computing(detector, 99)(items)) == items
    assert detector.sizes == [8, 4, 2, 2, 2, 2, 2, 1]


def test_another_error_is_a_bug():
    with pytest.raises(RuntimeError, match="a bug"):
        list(Computing(Small(error=RuntimeError("a bug")), 99)(ready(*[64] * 8)))


def test_a_batch_size_that_was_given_is_kept():
    with pytest.raises(torch.OutOfMemoryError):
        list(Computing(Small(batch_size=4), 99)(ready(*[64] * 4)))
