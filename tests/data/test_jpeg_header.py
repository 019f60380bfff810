"""Where the quick header of a JPEG answers, Pillow and every check of data/images.py agree."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from data import images
from data.image_header import Header, ImageError, read_header
from data.images import check_image
from data.jpeg_header import ordinary_size, quick_header

PHOTOSHOP = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x03abc\0" + b"8BIM\x03\xed\0\0\0\0\0\0"


def picture(mode: str = "RGB", **options: object) -> bytes:
    """A JPEG of 40 x 30 pixels."""
    pixels = np.arange(30 * 40 * 3, dtype=np.uint32).reshape(30, 40, 3) % 251
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_segment(kind: int, content: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    data = picture()
    return (
        data[:2] + bytes((0xFF, kind)) + (len(content) + 2).to_bytes(2, "big") + content + data[2:]
    )


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORDINARY = {
    "plain": picture(),
    "grey": picture("L"),
    "optimized": picture(optimize=True, quality=30, subsampling=0),
    "comment": picture(comment=b"x" * 5000),  # longer than what is read at once
    "profile": picture(icc_profile=PROFILE),
    "photoshop": with_segment(0xED, PHOTOSHOP),
    "adobe": with_segment(0xEE, b"Adobe\0d\0\0\0\0\x01"),
    "foreign APP1": with_segment(0xE1, b"XMP\0://ns.adobe.com"),
}
OTHERS = {
    "EXIF": with_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "XMP": with_segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'),
    "progressive": picture(progressive=True),
    "CMYK": picture("CMYK"),
    "MPO": with_segment(0xE2, b"MPF\0"),
    "short JFIF": with_segment(0xE0, b"JFIF\0"),
    "cut Photoshop": with_segment(0xED, PHOTOSHOP + b"8BIM\x04\x04"),
    "no JPEG": b"\x89PNG\r\n\x1a\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_files_are_answered_as_pillow_does(name):
    data = ORDINARY[name]
    assert ordinary_size(io.BytesIO(data).read) == read_header(io.BytesIO(data)).size == (30, 40)
    assert read_header(io.BytesIO(data)).oddities == ()


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_left_to_pillow(name):
    assert ordinary_size(io.BytesIO(OTHERS[name]).read) is None


@pytest.mark.parametrize("name", ORDINARY)
def test_damaged_headers_are_answered_as_pillow_does_or_not_at_all(name):
    """Every byte of the header is changed in turn; the seeds of the new values are fixed."""
    data, rng = bytearray(ORDINARY[name]), np.random.default_rng(len(name))
    answered = 0
    for place in range(2, data.index(b"\xff\xda") + 12):
        if 700 < place < len(data) - 700 and place % 16:
            continue  # the middle of a long segment
        kept = data[place]
        data[place] = int(rng.choice([0, 1, 255, kept ^ 1, kept ^ 128, rng.integers(256)]))
        size = ordinary_size(io.BytesIO(data).read)
        if size is not None:
            answered += 1
            header = read_header(io.BytesIO(data))  # an ImageError is a failure of this test
            assert (size, 1, ()) == (header.size, header.orientation, header.oddities), place
        data[place] = kept
    assert answered > 100


def outcome(path: Path) -> Header | tuple[str, str]:
    try:
        return check_image(path)
    except ImageError as error:
        return error.kind, error.detail


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("whole.jpg", picture()),
        ("capital.JPEG", picture()),
        ("cut.jpg", picture()[:-200]),
        ("trailing.jpg", picture() + b"\0\0"),
        ("wrong.png", picture()),
        ("small.jpg", picture()[:2]),
    ],
)
def test_check_image_says_the_same_without_it(tmp_path, monkeypatch, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    quick, found = quick_header(path), outcome(path)
    monkeypatch.setattr(images, "quick_header", lambda path: None)
    assert found == outcome(path)
    assert quick in (None, found)
    assert (quick is not None) == (name in ("whole.jpg", "capital.JPEG"))


def test_a_missing_file_and_a_folder_are_refused_as_before(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    assert outcome(tmp_path / "none.jpg") == ("image missing", "no such file")
    assert outcome(tmp_path / "folder.jpg")[0] == "image unreadable"
