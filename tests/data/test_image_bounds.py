"""Bounds on images: by what they decode to, and by what a file of their length can hold."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data import image_bounds
from data.image_bounds import BoundError, check_memory, check_size, check_tags
from data.image_header import ImageError
from data.images import check_image, decode_image, read_image
from utils.files import ROOT

SMALL = np.full((40, 60, 3), 90, np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height) if width < 1000 else b"")
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + extra
        + _chunk(b"IDAT", rows)
        + _chunk(b"IEND", b"")
    )


def _tags(count: int, length: int) -> bytes:
    """A TIFF of tags that each stand for nearly all of it."""
    entries = (struct.pack("<HHLL", 1000 + at, 7, length - 10, 8) for at in range(count))
    head = b"II*\0" + struct.pack("<LH", 8, count) + b"".join(entries)
    return head.ljust(length, b"\0")


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_blank_one_bit_scan_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"compression": "group4"} if suffix == "tif" else {"optimize": True}
    Image.new("1", (2480, 3508), 1).save(path, **options)
    assert path.stat().st_size < 5000
    assert check_image(path).size == (3508, 2480)
    assert (read_image(path) == 255).all()


def test_a_large_legal_picture_passes_the_scan_without_being_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (30_000, 8_000), 200).save(path)
    assert check_image(path).size == (8_000, 30_000)


@pytest.mark.parametrize(
    "name",
    ["bomb.png", "chunks.png", "exif.png", "exif.jpg", "segments.jpg", "lie.bmp", "lie.ppm"],
)
def test_a_bomb_is_refused_from_its_header(name: str) -> None:
    jpeg = cv2.imencode(".jpg", SMALL)[1].tobytes()
    block = b"Exif\0\0" + _tags(4500, 64_000)
    bmp = bytearray(cv2.imencode(".bmp", SMALL)[1].tobytes())
    bmp[18:26] = struct.pack("<ii", 30_000, 30_000)
    data = {
        "bomb.png": _png(100_000, 100_000),
        "chunks.png": _png(60, 40, _chunk(b"tEXt", b"a\0b") * 30_000),
        "exif.png": _png(60, 40, _chunk(b"eXIf", _tags(50_000, 700_000))),
        "exif.jpg": jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:],
        "segments.jpg": jpeg[:2] + b"\xff\xfe\0\2" * 50_000 + jpeg[2:],
        "lie.bmp": bytes(bmp),
        "lie.ppm": b"P6 30000 30000 255\n" + bytes(1000),
    }[name]
    with pytest.raises(ImageError, match=r"too many pixels|out of bounds"):
        decode_image(data)


def _with_scans(jpeg: bytes, count: int) -> bytes:
    """The JPEG with its last scan repeated."""
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * count + jpeg[-2:]


def _in_parts(jpeg: bytes) -> bytes:
    """A JPEG of one scan as if that had only the first of its colours."""
    at = jpeg.index(b"\xff\xda")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 63, 0)
    return jpeg[:at] + scan * 70 + jpeg[at:]


def test_a_jpeg_that_is_refined_without_end_is_refused(tmp_path: Path) -> None:
    baseline = cv2.imencode(".jpg", SMALL)[1].tobytes()
    usual = cv2.imencode(".jpg", SMALL, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(_with_scans(usual, 70))
    for data in (_with_scans(usual, 70), _in_parts(baseline)):
        with pytest.raises(ImageError, match="more than 64 scans"):
            decode_image(data)
    with pytest.raises(ImageError, match="more than 64 scans"):
        check_image(tmp_path / "a.jpg")
    assert decode_image(usual).shape == decode_image(_with_scans(usual, 20)).shape == SMALL.shape
    trailing = baseline + b"\xff\xda" * 100  # of a file with one scan, only that one is read
    assert decode_image(trailing).shape == SMALL.shape


def test_exif_of_many_segments_is_bounded() -> None:
    jpeg = cv2.imencode(".jpg", SMALL)[1].tobytes()
    block = b"Exif\0\0" + _tags(10, 65_527)
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    assert decode_image(jpeg[:2] + segment * 3 + jpeg[2:]).shape == SMALL.shape
    with pytest.raises(ImageError, match="EXIF has more than"):
        decode_image(jpeg[:2] + segment * 200 + jpeg[2:])


def test_the_bound_is_opencvs_and_its_variable_raises_it(monkeypatch) -> None:
    with pytest.raises(BoundError, match="OPENCV_IO_MAX_IMAGE_PIXELS"):
        check_size(40_000, 30_000, "JPEG", 10**9)
    check_size(20_000, 20_000, "JPEG", 10**9)
    image_bounds.most_pixels.cache_clear()
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "2000000000")
    try:
        check_size(40_000, 30_000, "JPEG", 10**9)
    finally:
        image_bounds.most_pixels.cache_clear()


def test_a_large_picture_waits_for_free_memory(monkeypatch) -> None:
    monkeypatch.setattr(image_bounds, "available_memory", lambda: 10**9)
    check_memory(10_000, 10_000)
    with pytest.raises(BoundError, match=r"need 2\.4 GB"):
        check_memory(20_000, 20_000)


def test_usual_tags_pass() -> None:
    check_tags(io.BytesIO(_tags(20, 2_000_000)))
    check_tags(io.BytesIO(b""))
    with pytest.raises(BoundError, match="60,000 tags"):
        check_tags(io.BytesIO(_tags(60_000, 2_000_000)))


def test_a_large_picture_under_warnings_as_errors_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (12_000, 10_000)).save(path)
    code = f"from data.images import check_image; print(check_image({str(path)!r}).size)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("(10000, 12000)\n", 0), done.stderr
