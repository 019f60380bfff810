"""Decoded images, resized to the training size and cached in memory, in a file, or not at all.

Paths and sizes come from data/index.py, pixels from data/images.py; data/dataset.py reads image i.
The cache is one packed array with a place for every image. The first process that needs an image
fills its place, so that training starts at once. Nothing is ever written beside the user's images.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import sys
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from data.augment import resize
from data.geometry import Size, resized_size
from data.grey import grey_image
from data.image_header import ImageError
from data.images import decode_image, read_bytes
from data.index import DatasetIndex
from data.jpeg import decode_jpeg
from data.memory import available_memory
from data.scanning.cache import cache_folder

CACHE_MEMORY_SHARE = 0.4  # of the free memory, for each of training and validation
DISK_SHARE = 0.9  # of the free disk that a cache may take


@dataclass(frozen=True, slots=True)
class ImageList:
    """The images of an index, resized so that the long side has imgsz pixels.

    With smooth=True shrinking averages areas, as YOLOv5 does without augmentation; otherwise every
    resize is bilinear, and a JPEG of at least four times the size is reduced while it is decoded,
    which changes its pixels a little. With grey=True the three channels are equal.
    """

    index: DatasetIndex
    imgsz: int
    smooth: bool
    grey: bool = False

    def read(self, i: int, rows: int | None = None) -> np.ndarray:
        """Decode and resize image i to [h, w, 3] uint8 BGR.

        Args:
            i: Number of the image.
            rows: How many rows are needed, from the top; None for all. More may be returned.

        Raises:
            ImageError: That fails, or the size is not the one in the index.
        """
        sample = self.index[i]
        data, size = read_bytes(sample.path), sample.size
        image = None if self.smooth else decode_jpeg(data, size, self.imgsz, rows)
        if image is None:
            image = decode_image(data)
            _check_size(image.shape[:2], size)
        if self.grey:
            image = grey_image(image)
        target = resized_size(size, self.imgsz)
        if image.shape[1] == target[1] and len(image) <= target[0]:
            return image
        return resize(image, target, self.smooth and max(target) < max(size))

    def resized_sizes(self) -> np.ndarray:
        """Sizes [n, 2] (height, width) of the images that read() returns, pixels."""
        sizes = [
            resized_size((height, width), self.imgsz) for height, width in self.index.sizes.tolist()
        ]
        return np.array(sizes, dtype=np.int64).reshape(-1, 2)

    def key(self) -> str:
        """A hash that changes with the path, length or time of any image, and with the resize."""
        kind = "grey" if self.grey else "BGR"
        digest = blake2b(f"{self.imgsz} {self.smooth} {kind}".encode(), digest_size=16)
        for i in range(len(self.index)):
            path = self.index.path(i)
            digest.update(f"\0{path}\0{_file_state(path)}".encode(errors="surrogateescape"))
        return digest.hexdigest()


def _check_size(found: Size, expected: Size) -> None:
    """Raise ImageError unless an image has the size (height, width) that it had in the scan."""
    if found != expected:
        raise ImageError(
            "its size changed since the scan",
            f"is {found[1]}x{found[0]}, was {expected[1]}x{expected[0]}",
        )


def _file_state(path: str) -> str:
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"


class PixelSource:
    """The decoded and resized images by number, from a cache if there is one.

    In mode "ram" the cache is anonymous memory that forked workers share; a spawned worker cannot
    see it and reads the files. In mode "disk" it is a file in cache_folder that every process maps.
    Mode "no" reads every time. Raises OSError if there is no room for the cache.
    """

    def __init__(self, images: ImageList, mode: str = "no") -> None:
        self.images, self.mode = images, mode
        self.files: tuple[Path, Path] | None = None
        self._pixels = self._filled = np.zeros(0, dtype=np.uint8)
        if mode != "no":
            self._sizes = images.resized_sizes()
            self._offsets = np.concatenate([[0], np.cumsum(self._sizes.prod(1) * 3)])
        if mode == "disk":
            key, folder = images.key(), cache_folder()
            # A mark says that the pixels of an image are in their place. The kernel writes both to
            # disk in any order, so a crash of the machine may leave marks without pixels. The name
            # of the marks' file therefore holds the id of the boot, and other boots ignore it.
            self.files = (folder / f"{key}.pixels", folder / f"{key}.{_boot_name()}.filled")
            _reserve_files(*self.files, (max(int(self._offsets[-1]), 1), max(len(self), 1)))
        if mode != "no":
            self._open()

    def __len__(self) -> int:
        return len(self.images.index)

    def __getitem__(self, i: int) -> np.ndarray:
        """Image i, [h, w, 3] uint8 BGR, read-only.

        Raises ImageError or OSError if its file cannot be read.
        """
        return self.read(i)

    def read(self, i: int, rows: int | None = None) -> np.ndarray:
        """As source[i], but of an image that is in no cache perhaps only its upper rows."""
        if self.mode == "no":
            return self.images.read(i, rows)
        view = self._pixels[self._offsets[i] : self._offsets[i + 1]].reshape(*self._sizes[i], 3)
        if not self._filled[i]:
            view[...] = self.images.read(i)
            # The mark is set after the pixels, so that no other process reads a half-filled place.
            # Two processes may fill one at the same time, but they write the same bytes.
            self._filled[i] = 1
        view.flags.writeable = False
        return view

    @property
    def filled_count(self) -> int:
        return int(self._filled.sum())

    def _open(self) -> None:
        lengths = (int(self._offsets[-1]), len(self))
        if self.files is None:
            self._pixels, self._filled = map(_map_memory, lengths)
        else:
            self._pixels, self._filled = map(_map_file, self.files, lengths)

    def __getstate__(self) -> dict[str, object]:
        """The state for a spawned worker, without the arrays; the worker maps the file itself."""
        empty = np.zeros(0, dtype=np.uint8)
        mode = self.mode if self.files else "no"
        return {**self.__dict__, "mode": mode, "_pixels": empty, "_filled": empty}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self.mode != "no":
            self._open()


def _map_memory(length: int) -> np.ndarray:
    # mmap refuses a length of 0, which an empty data set has.
    return np.frombuffer(mmap.mmap(-1, max(length, 1)), dtype=np.uint8)[:length]


def _map_file(path: Path, length: int) -> np.ndarray:
    """Map a file of at least length bytes for reading and writing."""
    with open(path, "r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0), dtype=np.uint8)[:length]


def _reserve_files(pixels: Path, filled: Path, lengths: tuple[int, int]) -> None:
    """Make the files of pixels and marks, unless they exist, with their space on disk reserved.

    Marks are removed if they are of another boot, or if the pixels were lost.

    Args:
        pixels: The file of pixels.
        filled: The file of marks, in the same folder.
        lengths: Bytes of each.

    Raises:
        OSError: There is not enough room. Without the reservation a full disk would end the
            process with SIGBUS, in the middle of a write to the map.
    """
    pixels.parent.mkdir(parents=True, exist_ok=True)
    if not pixels.is_file() or pixels.stat().st_size != lengths[0]:
        if lengths[0] > DISK_SHARE * shutil.disk_usage(pixels.parent).free:
            raise OSError(errno.ENOSPC, f"{_gb(lengths[0])} needed, too little is free")
        filled.unlink(missing_ok=True)
        _make_file(pixels, lengths[0])
    for old in pixels.parent.glob(f"{pixels.stem}.*.filled"):
        if old != filled:
            old.unlink(missing_ok=True)
    if not filled.is_file() or filled.stat().st_size != lengths[1]:
        _make_file(filled, lengths[1])


def _make_file(path: Path, length: int) -> None:
    try:
        with open(path, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, length)
            file.truncate(length)
    except OSError:
        path.unlink(missing_ok=True)  # it may have taken all the space that was left
        raise


def _boot_name() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "boot"


def open_pixels(images: ImageList, cache: str, copies: int = 1) -> PixelSource:
    """Make a PixelSource, with a cache if there is room; a line says what was chosen.

    Args:
        images: The images.
        cache: "auto" (ram if it fits), "ram", "disk" or "no".
        copies: Number of processes that will each hold a cache.

    Returns:
        The source; its mode is that of the cache it has.
    """
    need = int(images.resized_sizes().prod(1).sum()) * 3 if cache != "no" else 0
    if cache in ("ram", "auto"):
        allowed = available_memory() * CACHE_MEMORY_SHARE
        fits = need * copies <= allowed
        room = f"{_gb(need * copies)} needed, {_gb(allowed)} allowed"
        if cache == "auto":
            _tell_choice(f"--cache auto: {room}; {'ram' if fits else 'not caching'}", images)
        elif not fits:
            _say(f"--cache ram: {room}; not caching")
        cache = "ram" if fits else "no"
    try:
        return PixelSource(images, cache)
    except OSError as error:
        _say(f"--cache {cache}: {error.strerror}; not caching")
        return PixelSource(images)


def _tell_choice(line: str, images: ImageList) -> None:
    """Print a line once in a run, about the images that are learnt, by its main process."""
    if not images.smooth and os.environ.get("RANK", "0") == "0":
        print(line)


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
