"""Batches: the same for any number of processes and any start, also if an image or worker fails."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data import loader as loader_module
from data.dataset import DatasetSettings, DetectionDataset
from data.index import DatasetIndex
from data.loader import build_loader
from data.workers import ReadingStopped
from engine.training.colours import with_colours
from tests.data.image_files import write_images
from tests.processes import look_often
from utils.config import Hyperparameters
from utils.errors import UserError

SETTINGS = DatasetSettings(64, Hyperparameters(mixup=0.3), augment=True, batch_size=4)
VAL = DatasetSettings(64, batch_size=3, rect=True, pad=0.5)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def read(loader, *epochs):
    """All batches of some epochs."""
    batches = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        batches += list(loader)
    return batches


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
        assert replace(one, images=0, targets=0) == replace(other, images=0, targets=0)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more processes than cores
@pytest.mark.parametrize("cache", ["no", "ram", "disk"])
def test_any_number_of_workers(index, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path))
    expected = read(build_loader(index, SETTINGS, shuffle=True), 0, 1, 2)
    for workers in (0, 2, 4):
        loader = build_loader(index, replace(SETTINGS, cache=cache), workers=workers, shuffle=True)
        assert_same(read(loader, 0, 1, 2), expected)
    assert any(tmp_path.glob("*.pixels")) == (cache == "disk")


def test_spawned_workers(index, monkeypatch):
    monkeypatch.setattr(loader_module, "start_method", lambda: "spawn")
    expected = read(build_loader(index, SETTINGS, shuffle=True), 0, 1)
    loader = build_loader(index, replace(SETTINGS, cache="ram"), workers=1, shuffle=True)
    assert_same(read(loader, 0, 1), expected)


def test_forked_workers_fill_one_cache(index, monkeypatch):
    monkeypatch.setattr(loader_module, "start_method", lambda: "fork")
    loader = build_loader(index, replace(SETTINGS, cache="ram"), workers=2, shuffle=True)
    read(loader, 0)
    assert loader.dataset.pixels.filled_count == 10


@pytest.mark.parametrize("workers", [0, 2])
def test_start_in_the_midst(index, workers):
    expected = read(build_loader(index, SETTINGS, shuffle=True), 5)
    loader = build_loader(index, SETTINGS, shuffle=True, workers=workers)
    loader.set_epoch(5, 1)
    assert len(loader) == 3
    assert_same(list(loader), expected[1:])
    assert_same(read(loader, 5), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_iteration_broken_off_and_begun_again(index, workers):
    loader = build_loader(index, SETTINGS, shuffle=True, workers=workers)
    expected = read(loader, 1)
    loader.set_epoch(0)
    next(iter(loader))
    assert_same(read(loader, 1), expected)


def test_workers_that_were_started_early_read_the_same(index):
    expected = read(build_loader(index, SETTINGS, shuffle=True), 0, 1)
    loader = build_loader(index, SETTINGS, shuffle=True, workers=2)
    loader.start()
    processes = {child.pid for child in multiprocessing.active_children()}
    loader.start()
    assert_same(read(loader, 0, 1), expected)
    assert set(loader.watch.rows[:, 0].tolist()) <= processes
    without = build_loader(index, SETTINGS, shuffle=True)
    without.start()
    assert_same(read(without, 0), expected[:3])


@pytest.mark.parametrize("workers", [0, 2])
def test_changes_reach_running_workers(index, workers):
    loader = build_loader(index, SETTINGS, shuffle=True, workers=workers)
    before = read(loader, 0)
    loader.close_mosaic()
    closed = read(loader, 0)
    assert not any(
        torch.equal(one.images, other.images) for one, other in zip(before, closed, strict=True)
    )
    loader.set_weights(np.eye(10)[3])
    assert {i for batch in read(loader, 1) for i in batch.indices} == {3}
    images = torch.cat([batch.images for batch in read(loader, 1)])
    # Each repeat has draws of its own.
    assert len({image.numpy().tobytes() for image in images}) == 10


def test_weights_choose_mosaic_partners(index):
    loader = build_loader(index, SETTINGS, shuffle=True, image_weights=np.eye(10)[8])
    assert sum(len(batch.targets) for batch in read(loader, 0, 1)) == 0  # image 8 has no labels


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_shares_its_images_reads_each_once(index, workers, monkeypatch):
    counts, read_one = [], DetectionDataset._read

    def counting(dataset, i, *rest):
        counts.append(i)
        return read_one(dataset, i, *rest)

    monkeypatch.setattr(DetectionDataset, "_read", counting)
    settings = replace(SETTINGS, mosaic_pool="batch")
    expected = read(build_loader(index, settings, shuffle=True), 0)
    assert len(counts) <= len(index)
    assert_same(read(build_loader(index, settings, shuffle=True, workers=workers), 0), expected)
    cached = build_loader(index, replace(settings, cache="ram"), shuffle=True)
    assert_same(read(cached, 0), expected)
    resumed = build_loader(index, settings, shuffle=True)
    resumed.set_epoch(0, 1)
    assert_same(list(resumed), expected[1:])


@pytest.mark.parametrize("workers", [0, 1])
def test_colours_may_be_left_to_the_device(index, workers):
    """The batches are the same, but for the colours, whose factors come with them."""
    here, left = (
        read(build_loader(index, replace(SETTINGS, colours=where), workers=workers), 0)
        for where in (True, False)
    )
    for one, other in zip(here, left, strict=True):
        assert one.hsv is None
        assert other.hsv.shape == (len(other.images), 3)
        assert torch.equal(one.targets, other.targets)
        assert not torch.equal(one.images, other.images)
        seen = with_colours(other).images
        assert (one.images.int() - seen.int()).abs().float().mean() < 2
    grey = build_loader(index, replace(SETTINGS, colours=False, channels=1))
    assert all(batch.hsv is None for batch in grey)


def test_batches_are_channels_last(index):
    for workers in (0, 2):
        batch = read(build_loader(index, SETTINGS, workers=workers), 0)[0]
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (4, 3, 64, 64)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.targets.dtype == torch.float32


def test_rect_batches(index):
    loader = build_loader(index, VAL, workers=2)
    batches = list(loader)
    assert len(loader) == len(batches) == 4
    assert [tuple(batch.images.shape[2:]) for batch in batches] == [
        tuple(shape) for shape in loader.dataset.shapes
    ]
    assert [i for batch in batches for i in batch.indices] == loader.dataset.order.tolist()
    assert batches[0].original_sizes[0] == (50, 200)
    assert Path(batches[0].paths[0]).name == "06.png"
    assert_same(list(build_loader(index, VAL)), batches)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("settings", [SETTINGS, replace(VAL, augment=True)])
def test_processes_have_equal_lengths(index, world, settings):
    loaders = [
        build_loader(index, settings, shuffle=True, rank=rank, world=world) for rank in range(world)
    ]
    batches = [read(loader, 0) for loader in loaders]
    assert {len(part) for part in batches} == {len(loaders[0])}
    assert {i for part in batches for batch in part for i in batch.indices} == set(range(10))


def test_chosen_batches_are_those_of_the_whole(index):
    loader = build_loader(index, VAL)
    whole = list(loader)
    assert list(loader.numbers) == list(range(len(whole)))
    for numbers in ((0, 2), (1,), ()):
        loader.read_only(numbers)
        assert len(loader) == len(numbers)
        part = list(loader)
        assert len(part) == len(numbers)
        if numbers:
            assert_same(part, [whole[number] for number in numbers])
    loader.read_only(None)
    assert_same(list(loader), whole)


def test_the_global_generators_are_left_alone(index):
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    for workers in (0, 1):
        read(build_loader(index, SETTINGS, shuffle=True, workers=workers), 0)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def many(index):
    """120 items of the ten images, so that one of them is less than one percent."""
    return index.subset(list(range(10)) * 12)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["no", "ram"])
def test_a_vanished_image_is_told_once_and_counted(tmp_path, workers, cache, capfd):
    index = many(write_images(tmp_path))
    Path(index.path(3)).write_bytes(b"")
    settings = replace(SETTINGS, cache=cache)
    loader = build_loader(index, settings, workers=workers, shuffle=True)
    batches = read(loader, 0, 1)
    assert len(batches) == 60
    assert loader.lost.reasons == {index.path(3): "empty file: 0 bytes"}
    assert {failure for batch in batches for failure in batch.failures} == {
        (index.path(3), "empty file: 0 bytes")
    }
    assert capfd.readouterr().err.count("empty file") == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_a_percent_of_vanished_images_stops_the_epoch(tmp_path, workers):
    index = many(write_images(tmp_path))
    loader = build_loader(index, SETTINGS, workers=workers, shuffle=True)
    read(loader, 0)
    for number in (3, 5):
        Path(index.path(number)).unlink()
    with pytest.raises(ReadingStopped, match=r"2 of 120 images cannot be read.*image missing"):
        read(loader, 1)


def test_a_batch_without_any_readable_image_stops_the_epoch(tmp_path):
    index = write_images(tmp_path)
    Path(index.path(3)).unlink()
    samples = [index[i % 3] for i in range(400)] + [index[3]] * 3
    settings = DatasetSettings(64, batch_size=4)
    loader = build_loader(DatasetIndex.pack(samples, index.names), settings)
    with pytest.raises(ReadingStopped, match="none of the 3 images of a batch can be read"):
        list(loader)


def test_several_processes_stop_together_and_not_one_alone(tmp_path):
    index = write_images(tmp_path)
    for number in range(4):
        Path(index.path(number)).unlink()
    loader = build_loader(index, SETTINGS, shuffle=True, world=2)
    assert len(read(loader, 0)) == len(loader)
    assert loader.lost.too_many


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_whose_size_changed_since_the_scan_is_not_used(tmp_path, workers):
    index = many(write_images(tmp_path))
    cv2.imwrite(index.path(3), np.zeros((90, 90, 3), np.uint8))
    loader = build_loader(index, SETTINGS, workers=workers, shuffle=True)
    read(loader, 0)
    (reason,) = loader.lost.reasons.values()
    assert reason == "its size changed since the scan: is 90x90, was 150x100"


def test_an_unreadable_image_keeps_its_labels_where_it_is_scored(tmp_path):
    index = many(write_images(tmp_path))
    before = sum(len(batch.targets) for batch in build_loader(index, VAL))
    Path(index.path(3)).unlink()
    batches = list(build_loader(index, VAL))
    assert sum(len(batch.targets) for batch in batches) == before
    assert any(batch.failures for batch in batches)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stopped_worker_is_named_with_its_image(index, monkeypatch):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", "1")
    look_often(monkeypatch)
    loader = build_loader(index, SETTINGS, workers=2, shuffle=True)
    read(loader, 0)
    loader.set_epoch(1)
    for process in (workers := loader._batches._iterator._workers):
        os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(ReadingStopped, match=r"no image was read for 1 seconds; worker processes"):
        list(loader)
    for process in workers:
        process.join(5)
        assert not process.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_never_begins_is_ended(index, monkeypatch):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", "0.3")
    monkeypatch.setattr(loader_module, "start_worker", lambda worker: time.sleep(60))
    loader = build_loader(index, SETTINGS, workers=1)
    with pytest.raises(ReadingStopped, match=r"worker processes: \d+ do not answer"):
        list(loader)


def test_small_shared_memory(index, monkeypatch):
    expected = read(build_loader(index, SETTINGS, shuffle=True), 0)
    monkeypatch.setattr(loader_module, "free_shared_memory", lambda: 64 * 1024)
    loader = build_loader(index, SETTINGS, shuffle=True, workers=2)
    assert loader._batches.dataset.through_pipe
    assert loader.note == ""  # only a GPU waits for it
    pinned = build_loader(index, SETTINGS, shuffle=True, workers=2, pin_memory=True)
    assert pinned.note.startswith("the batches that are read ahead take ")
    assert build_loader(index, SETTINGS, workers=0, pin_memory=True).note == ""
    batches = read(loader, 0)
    assert_same(batches, expected)
    assert not any(batch.images.is_shared() for batch in batches)


def test_the_processes_of_a_machine_share_its_memory(index, monkeypatch):
    needed = build_loader(index, SETTINGS, workers=2)._needed_memory()
    monkeypatch.setattr(loader_module, "free_shared_memory", lambda: 3 * needed)
    for processes, through_pipe in (("3", False), ("4", True)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        loader = build_loader(index, SETTINGS, workers=2)
        assert loader._batches.dataset.through_pipe is through_pipe


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # torch's own, at its shutdown
def test_a_dead_worker_is_one_clear_line(index, monkeypatch):
    look_often(monkeypatch)
    loader = build_loader(index, replace(SETTINGS, batch_size=1), workers=1, shuffle=True)
    batches = iter(loader)
    next(batches)
    os.kill(loader._batches._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"DataLoader worker.*--workers 0"):
        list(batches)
