"""data/images.py: every kind of image is read upright in 8-bit BGR as its header said, or refused
with its kind.
"""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from data.image_header import ImageError
from data.images import check_image, decode_image, read_image

HEIGHT, WIDTH = 24, 36


def _smooth() -> np.ndarray:
    """[24, 36, 3] uint8 RGB without sharp edges, different in every corner."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack((40 + 4 * x, 30 + 6 * y, 200 - 2 * x - 3 * y), axis=2).astype(np.uint8)


def _save(path: Path, array: np.ndarray | None = None, mode: str = "", **options: Any) -> Path:
    image = Image.fromarray(_smooth() if array is None else array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    upright = _smooth()
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    options = (
        {"lossless": True}
        if suffix == "webp"
        else {"quality": 100, "subsampling": 0}
        if suffix == "jpg"
        else {}
    )
    path = _save(tmp_path / f"a.{suffix}", np.ascontiguousarray(turned), exif=exif, **options)
    assert check_image(path).size == (HEIGHT, WIDTH)
    np.testing.assert_allclose(
        read_image(path)[..., ::-1].astype(int), upright, atol=4 if suffix == "jpg" else 0
    )
    assert ("EXIF-rotated" in check_image(path).oddities) == (orientation > 1)


def test_same_pixels_as_opencv(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    assert np.array_equal(read_image(path), cv2.imread(str(path)))


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    path = _save(tmp_path / f"a.{suffix}", mode="CMYK")
    assert check_image(path).oddities == ("CMYK",)
    np.testing.assert_allclose(read_image(path)[..., ::-1].astype(int), _smooth(), atol=12)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = _smooth()[..., :channels].astype(np.uint16) * 256 + 100
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), deep)
    assert check_image(path).oddities == ("16-bit",)
    expected = np.repeat(_smooth()[..., :1], 3, axis=2) if channels == 1 else _smooth()
    np.testing.assert_allclose(read_image(path).astype(int), expected, atol=1)


def test_alpha_palette_gray_and_one_bit(tmp_path: Path) -> None:
    clear = np.dstack((_smooth(), np.zeros((HEIGHT, WIDTH), np.uint8)))
    path = _save(tmp_path / "alpha.png", clear)
    assert check_image(path).oddities == ("alpha",)
    assert np.array_equal(read_image(path)[..., ::-1], _smooth())
    flat = np.full((HEIGHT, WIDTH, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).quantize(4).save(tmp_path / "palette.png")
    assert check_image(tmp_path / "palette.png").oddities == ("palette",)
    assert read_image(tmp_path / "palette.png")[3, 3].tolist() == [50, 100, 200]
    gray = read_image(_save(tmp_path / "gray.png", _smooth()[..., 0]))
    assert np.array_equal(gray, np.repeat(_smooth()[..., :1], 3, axis=2))
    assert read_image(_save(tmp_path / "bits.png", mode="1")).shape == (HEIGHT, WIDTH, 3)


def test_oddities_that_are_read(tmp_path: Path) -> None:
    _save(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert check_image(tmp_path / "a.jpg").oddities == ("wrong suffix",)
    assert np.array_equal(read_image(tmp_path / "a.jpg")[..., ::-1], _smooth())
    frames = [Image.fromarray(_smooth()), Image.fromarray(255 - _smooth())]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert "animated" in check_image(tmp_path / "a.webp").oddities
    assert np.array_equal(read_image(tmp_path / "a.webp")[..., ::-1], _smooth())
    strange = _save(tmp_path / "bild ✓ äöü.jpg")
    assert read_image(strange).shape == (HEIGHT, WIDTH, 3)


def test_a_jpeg_with_something_behind_its_end_is_whole(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"maker's notes")
    assert check_image(path).size == (HEIGHT, WIDTH)
    assert read_image(path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = _save(tmp_path / f"a.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError):
        check_image(path)
    with pytest.raises(ImageError):
        read_image(path)


def test_jpeg_without_its_end_mark(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ImageError, match="truncated"):
        check_image(path)


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes cannot hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty file"),
        (b"no image at all, only text", "not an image"),
        (b"<html>404</html>", "HTML file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC file"),
        (
            _png_of(40_000, 25_000),
            "too many pixels: its header claims 40,000 x 25,000 pixels, which .* cannot hold",
        ),
        (
            _png_of(9_000, 9_000),
            "too many pixels: its header claims 9,000 x 9,000 pixels, which 65 bytes cannot",
        ),
    ],
)
def test_refused_by_kind(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (check_image, read_image):
        with pytest.raises(ImageError, match=kind):
            read(path)


def test_gif_named_jpg_missing_folder_and_small(tmp_path: Path) -> None:
    _save(tmp_path / "a.gif").rename(tmp_path / "a.jpg")
    assert check_image(tmp_path / "a.jpg").oddities == ("palette", "wrong suffix")
    with pytest.raises(ImageError, match="image missing"):
        read_image(tmp_path / "none.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ImageError, match="unreadable"):
        check_image(tmp_path / "folder.jpg")
    small = _save(tmp_path / "small.png", np.zeros((30, 9, 3), np.uint8))
    with pytest.raises(ImageError, match="9x30, below 10"):
        check_image(small)
    assert check_image(_save(tmp_path / "enough.png", np.zeros((30, 10, 3), np.uint8))).size == (
        30,
        10,
    )


def test_a_png_chunk_that_claims_gigabytes_asks_for_none(tmp_path: Path) -> None:
    data = bytearray(_save(tmp_path / "a.png").read_bytes())
    at = data.index(b"IDAT")
    data[at - 4 : at] = struct.pack(">I", 3_500_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="chunks"):
        decode_image(bytes(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on the tags of TIFF
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path, suffix: str) -> None:
    path = _save(tmp_path / f"a.{suffix}")
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(150):
        data = whole.copy()
        data[rng.integers(0, min(len(data), 400), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        try:
            size = check_image(path).size
            assert decode_image(data.tobytes()).shape[:2] == size
        except ImageError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("start", [b"", b"jpeg"])
def test_an_image_of_many_gigabytes_is_refused_unread(tmp_path, start):
    path = tmp_path / "a.jpg"
    if start:
        path.write_bytes(cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes())
    with open(path, "ab") as file:
        file.truncate(10 << 30)
    with pytest.raises(ImageError):
        read_image(path)
