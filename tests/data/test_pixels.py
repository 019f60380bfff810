"""The cache of decoded images: what it gives equals what the files give, wherever it is kept."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import pixels
from data.image_header import ImageError
from data.images import read_image
from data.index import DatasetIndex
from data.pixels import ImageList, PixelSource, available_memory, open_pixels
from data.scanning.cache import cache_folder
from tests.data.image_files import write_images


@pytest.fixture
def index(tmp_path):
    return write_images(tmp_path)


@pytest.fixture
def folder():
    """The folder of the disk cache, which conftest.py sets."""
    return cache_folder()


def assert_equal(first, second):
    assert len(first) == len(second)
    for i in range(len(first)):
        np.testing.assert_array_equal(first[i], second[i])


def fill(source):
    for i in range(len(source)):
        source[i]
    return source


def test_images_are_bgr_at_the_long_side(index):
    for smooth, shrink in ((True, cv2.INTER_AREA), (False, cv2.INTER_LINEAR)):
        images = ImageList(index, 64, smooth)
        for i, (height, width) in ((7, (64, 64)), (6, (16, 64)), (9, (63, 64))):
            way = cv2.INTER_LINEAR if i == 9 else shrink  # 60 x 61 is enlarged
            expected = cv2.resize(read_image(index.path(i)), (width, height), interpolation=way)
            np.testing.assert_array_equal(images.read(i), expected)
        assert images.resized_sizes()[6].tolist() == [16, 64]


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_cached_images_equal_read_ones(index, mode):
    images = ImageList(index, 64, False)
    source = PixelSource(images, mode)
    assert source.filled_count == 0
    assert_equal(source, PixelSource(images))
    assert source.filled_count == 10
    for i in range(10):
        os.unlink(index.path(i))
    assert source[3].shape == (43, 64, 3)


def test_views_refuse_to_be_written_to(index):
    for _ in range(2):
        view = PixelSource(ImageList(index, 64, False), "ram")[0]
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0


def test_disk_cache_is_taken_up_again(index):
    images = ImageList(index, 64, False)
    fill(PixelSource(images, "disk"))
    again = PixelSource(images, "disk")
    assert again.filled_count == 10
    assert_equal(again, PixelSource(images))


@pytest.mark.parametrize("change", ["file", "imgsz", "smooth", "boot", "pixels lost"])
def test_stale_disk_cache_is_not_believed(index, folder, change, monkeypatch):
    images = ImageList(index, 64, False)
    fill(PixelSource(images, "disk"))
    if change == "file":
        image = cv2.imread(index.path(2))
        cv2.imwrite(index.path(2), 255 - image)
        os.utime(index.path(2), ns=(1, 1))
    elif change == "boot":
        monkeypatch.setattr(pixels, "_boot_name", lambda: "another")
    elif change == "pixels lost":
        next(folder.glob("*.pixels")).unlink()
    else:
        images = replace(images, **{"imgsz": {"imgsz": 96}, "smooth": {"smooth": True}}[change])
    again = PixelSource(images, "disk")
    assert again.filled_count == 0
    assert_equal(again, PixelSource(images))


def test_user_folders_stay_as_they_are(index, folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    fill(PixelSource(ImageList(index, 64, False), "disk"))
    after = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert {path: path.stat().st_mtime_ns for path in after} == before


def test_bad_images_are_not_cached(index):
    path = Path(index.path(4))
    content = path.read_bytes()
    path.write_bytes(content[:40])
    source = PixelSource(ImageList(index, 64, False), "ram")
    with pytest.raises(ImageError):
        source[4]
    path.write_bytes(content)
    assert source[4].shape == (64, 43, 3)


def test_a_image_of_another_size_is_refused(index):
    cv2.imwrite(index.path(1), np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(ImageError, match="60x50, was 80x120"):
        PixelSource(ImageList(index, 64, False))[1]


@pytest.mark.parametrize(("mode", "there"), [("disk", "disk"), ("ram", "no"), ("no", "no")])
def test_what_a_spawned_process_gets(index, mode, there):
    source = fill(PixelSource(ImageList(index, 64, False), mode))
    copy = pickle.loads(pickle.dumps(source))
    assert copy.mode == there
    assert copy.filled_count == (10 if mode == "disk" else 0)
    assert_equal(copy, source)


def test_budget(index, monkeypatch, capsys):
    images = ImageList(index, 64, False)
    need = int(images.resized_sizes().prod(1).sum()) * 3
    monkeypatch.setattr(pixels, "available_memory", lambda: need * 3)
    assert open_pixels(images, "auto").mode == "ram"
    assert open_pixels(images, "no").mode == "no"
    assert open_pixels(images, "auto", copies=2).mode == "no"
    assert open_pixels(replace(images, smooth=True), "auto").mode == "ram"  # says nothing
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "--cache auto: 0.0 GB needed, 0.0 GB allowed; ram",
        "--cache auto: 0.0 GB needed, 0.0 GB allowed; not caching",
    ]
    assert open_pixels(images, "ram", copies=2).mode == "no"
    assert "--cache ram" in capsys.readouterr().err
    assert open_pixels(images, "disk").mode == "disk"


def test_full_and_read_only_disks(index, folder, monkeypatch, capsys):
    images = ImageList(index, 64, False)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(pixels.shutil, "disk_usage", lambda path: usage)
    assert open_pixels(images, "disk").mode == "no"
    assert "--cache disk: " in capsys.readouterr().err
    assert list(folder.iterdir()) == []
    blocked = folder / "file"
    blocked.write_text("")
    monkeypatch.setenv("YOLO_CACHE_DIR", str(blocked))
    assert open_pixels(images, "disk").mode == "no"
    assert "not caching" in capsys.readouterr().err


def test_an_empty_index():
    empty = ImageList(DatasetIndex.pack([], {}), 64, False)
    for mode in ("no", "ram", "disk"):
        assert len(PixelSource(empty, mode)) == 0


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the kernel does not tell")
def test_available_memory_is_plausible():
    assert 10**7 < available_memory() < 10**14
