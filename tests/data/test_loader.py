"""Batches: the same for any number of processes and any start, and no surprise when a process or a
image fails.
"""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data import loader as loader_module
from data.dataset import DatasetSettings
from data.loader import build_loader, choose_workers, collate_targets
from tests.data.image_files import write_images
from utils.config import Hyperparameters
from utils.errors import UserError
from utils.files import ROOT
from utils.structures import Item

SETTINGS = DatasetSettings(64, Hyperparameters(mixup=0.3), augment=True, batch_size=4)
VAL = DatasetSettings(64, batch_size=3, rect=True, pad=0.5)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def read(loader, *epochs):
    """All batches of some epochs; pixels are copied, as a loader may reuse nothing that is kept."""
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


def test_spawned_workers(index):
    expected = read(build_loader(index, SETTINGS, shuffle=True), 0, 1)
    loader = build_loader(
        index, replace(SETTINGS, cache="ram"), workers=1, shuffle=True, start_method="spawn"
    )
    assert_same(read(loader, 0, 1), expected)


def test_forked_workers_fill_one_cache(index):
    loader = build_loader(
        index, replace(SETTINGS, cache="ram"), workers=2, shuffle=True, start_method="fork"
    )
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
    pictures = torch.cat([batch.images for batch in read(loader, 1)])
    assert (
        len({picture.numpy().tobytes() for picture in pictures}) == 10
    )  # each repeat has draws of its own


def test_weights_choose_mosaic_partners(index):
    loader = build_loader(index, SETTINGS, shuffle=True, image_weights=np.eye(10)[8])
    assert sum(len(batch.targets) for batch in read(loader, 0, 1)) == 0  # image 8 has no labels


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


def test_the_global_generators_are_left_alone(index):
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    for workers in (0, 1):
        read(build_loader(index, SETTINGS, shuffle=True, workers=workers), 0)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_told_once(tmp_path, workers, capfd):
    index = write_images(tmp_path)
    Path(index.path(3)).write_bytes(b"")
    loader = build_loader(index, SETTINGS, workers=workers, shuffle=True)
    assert len(read(loader, 0, 1, 2)) == 9
    assert loader.failures == {index.path(3): "empty file: 0 bytes"}
    assert capfd.readouterr().err.count("empty file") == 1


def test_small_shared_memory(index, monkeypatch):
    expected = read(build_loader(index, SETTINGS, shuffle=True), 0)
    monkeypatch.setattr(
        loader_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 64 * 1024})()
    )
    loader = build_loader(index, SETTINGS, shuffle=True, workers=2)
    assert loader._batches.dataset.through_pipe
    batches = read(loader, 0)
    assert_same(batches, expected)
    assert not any(batch.images.is_shared() for batch in batches)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # torch's own, at its shutdown
def test_a_dead_worker_is_one_clear_line(index):
    loader = build_loader(index, replace(SETTINGS, batch_size=1), workers=1, shuffle=True)
    batches = iter(loader)
    next(batches)
    os.kill(loader._batches._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"DataLoader worker.*--workers 0"):
        list(batches)


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.data.image_files import write_images
from data.dataset import DatasetSettings
from data.loader import build_loader
index = write_images(Path({folder!r}))
loader = build_loader(index, DatasetSettings(64, augment=True, batch_size=1), workers=2, shuffle=True)
try:
    for epoch in range(10**6):
        loader.set_epoch(epoch)
        for k, batch in enumerate(loader):
            if epoch + k == 0:
                print("ready", flush=True)
            time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_ctrl_c_is_silent_in_workers(tmp_path):
    code = INTERRUPTED.format(root=str(ROOT), folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "stopped\n"
    assert err == ""
    assert process.returncode == 0


def test_workers_keep_quiet_of_hangups_only(capfd):
    for error in (EOFError(), ConnectionResetError()):
        loader_module._report_but_hangups(type(error), error, None)
    assert capfd.readouterr().err == ""
    loader_module._report_but_hangups(ValueError, ValueError("torn"), None)
    assert "torn" in capfd.readouterr().err


def test_choose_workers(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [choose_workers(99, device, 16) for device in ("cuda", "mps", "cpu")] == [8, 8, 2]
    assert choose_workers(8, "cuda", 1) == 0
    assert choose_workers(0, "cuda", 16) == 0
    assert choose_workers(1, "cuda", 16) == 1
    assert choose_workers(8, "cuda", 3) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert choose_workers(8, "cpu", 16) == 1


def test_targets_of_items_without_boxes():
    image, none = np.zeros((3, 2, 2), np.uint8), np.zeros((0, 4), np.float32)
    box = Item(image, np.ones((1, 4), np.float32), np.array([7]), 0, (2, 2))
    empty = Item(image, none, np.zeros(0, np.int64), 1, (2, 2))
    assert collate_targets([empty, box]).tolist() == [[1, 7, 1, 1, 1, 1]]
    assert collate_targets([empty]).shape == (0, 6)
