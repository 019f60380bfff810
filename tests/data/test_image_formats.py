"""Every format that OpenCV decodes is read, with the same pixels; others say what to do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.image_formats import foreign_kind, format_of
from data.image_header import ImageError
from data.images import check_image, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "suffix",
    [
        "bmp",
        "dib",
        "jpg",
        "jpeg",
        "jpe",
        "jp2",
        "png",
        "webp",
        "pbm",
        "pgm",
        "ppm",
        "pnm",
        "pfm",
        "sr",
        "ras",
        "tif",
        "tiff",
        "hdr",
        "pic",
        "gif",
    ],
)
def test_what_opencv_decodes_is_read_with_its_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix.upper()}"
    pixels = PIXELS[..., 0] if suffix in ("pbm", "pgm") else PIXELS
    if suffix in ("pfm", "hdr", "pic"):
        pixels = pixels.astype(np.float32)
    content = cv2.imencode(f".{suffix}", pixels)[1]
    path.write_bytes(content.tobytes())
    header = check_image(path)
    assert header.size == (40, 60)
    assert "wrong suffix" not in header.oddities
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path)))
    path.write_bytes(content.tobytes()[: len(content) // 3])
    with pytest.raises(ImageError):
        check_image(path)
    with pytest.raises(ImageError):
        read_image(path)


@pytest.mark.parametrize(
    ("start", "kind", "remedy"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC file", "magick"),
        (b"\x76\x2f\x31\x01", "OpenEXR file", "16-bit PNG"),
        (b"version https://git-lfs.github.com", "git-lfs pointer", "git lfs pull"),
        (b"<svg xmlns", "SVG file", "JPEG or PNG"),
        (b"hello", "not an image", "JPEG or PNG"),
    ],
)
def test_what_is_not_read_says_what_to_do(start: bytes, kind: str, remedy: str) -> None:
    assert format_of(start) is None
    told = foreign_kind(start)
    assert told[0].startswith(kind)
    assert remedy in told[1]


def test_floats_of_unknown_range_are_refused_and_not_made_black(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), (PIXELS[..., 0] / 255).astype(np.float32))
    with pytest.raises(ImageError, match="32-bit floating point"):
        read_image(path)
