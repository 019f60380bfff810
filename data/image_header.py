"""The header of an image file: its displayed size, its format, and its oddities.

Pillow reads headers in about 50 µs per file. Where Pillow and OpenCV disagree (EXIF orientation,
CMYK in TIFF), this file and data/images.py decide, so that the size in the index always agrees with
the pixels that are decoded later.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(["bmp", "dng", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp", "pfm"])
UNREAD_SUFFIXES = frozenset(  # unsupported images, which are reported instead of ignored
    ["gif", "heic", "heif", "avif", "jp2", "jxl", "psd", "svg", "ppm", "pgm", "tga"]
)
PILLOW_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")  # JPEG includes MPO, several in a file
MAX_PIXELS_PER_BYTE = 2000  # a blank RGB image reaches at most 350 as PNG, 1000 as JPEG
ORIENTATION_TAG, BITS_TAG, WIDTH_TAG, HEIGHT_TAG = 274, 258, 256, 257  # of EXIF and TIFF
PNG_DEPTH_AT = 24  # offset of the byte with the bit depth
SWAPPED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
SIGNATURES = (
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"<svg", "SVG"),
    (b"<!DOC", "HTML"),
    (b"<html", "HTML"),
    (b"PK\x03\x04", "ZIP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
)
# The exceptions that Pillow's readers raise on damaged headers.
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    ArithmeticError,
    LookupError,
    TypeError,
    MemoryError,
)


class ImageError(Exception):
    """An image that cannot be used.

    kind is the same for all errors of a kind, and detail holds the facts of this one.
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True, slots=True)
class Header:
    """The useful part of an image file's header.

    Attributes:
        size: (height, width) as displayed, after EXIF rotation, pixels.
        format: Pillow's name of the format.
        orientation: EXIF's 1 to 8, where 1 is upright.
        oddities: Properties that the report lists, such as "CMYK".
    """

    size: tuple[int, int]
    format: str
    orientation: int
    oddities: tuple[str, ...]


def open_with_pillow(file: IO[bytes]) -> Image.Image:
    """Pillow's image of an open file, its pixels not decoded yet. Raises ImageError."""
    from PIL import Image

    file.seek(0)
    start = file.read(64)
    if not start:
        raise ImageError("empty file", "0 bytes")
    try:
        file.seek(0)
        return Image.open(file, formats=PILLOW_FORMATS)
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise ImageError(
            "too many pixels", f"its header claims more than {limit} megapixels"
        ) from None
    except Image.UnidentifiedImageError:
        raise ImageError(_unknown_kind(start), "save it as JPEG or PNG") from None
    except DAMAGE as error:
        raise ImageError("damaged header", str(error)) from None


def _unknown_kind(start: bytes) -> str:
    for signature, name in SIGNATURES:
        if start.startswith(signature):
            return f"{name} file, not a supported image"
    if start[4:8] == b"ftyp":
        return f"{start[8:12].decode('ascii', 'replace').upper()} file, not a supported image"
    return "not an image, or damaged"


def read_header(file: IO[bytes]) -> Header:
    """The header of an open file. Raises ImageError."""
    image = open_with_pillow(file)
    orientation = _orientation(image)
    try:
        width, height = image.size
        _refuse_bomb(width * height, file.seek(0, io.SEEK_END))
        if orientation in SWAPPED and not _is_turned_already(image):
            width, height = height, width
        return Header(
            (height, width), str(image.format), orientation, _oddities(image, orientation, file)
        )
    except DAMAGE as error:
        raise ImageError("damaged header", str(error)) from None


def _refuse_bomb(pixels: int, length: int) -> None:
    """Refuse a damaged or forged header that claims more pixels than its file could hold."""
    if pixels > MAX_PIXELS_PER_BYTE * length:
        raise ImageError("too many pixels", f"its header claims {pixels:,} for {length:,} bytes")


def _orientation(image: Image.Image) -> int:
    """The orientation in EXIF, 1 to 8; 1 if there is none."""
    # PNG may also have EXIF after the pixels, but Pillow would decode the whole image to find it.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except DAMAGE:  # broken EXIF is no reason to refuse the pixels
        return 1


def _is_turned_already(image: Image.Image) -> bool:
    """Whether Pillow has swapped the sides already, as newer versions do for TIFF."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and image.size == (tags.get(HEIGHT_TAG), tags.get(WIDTH_TAG))


def _bit_depth(image: Image.Image, file: IO[bytes]) -> int:
    """Bits per sample; Pillow's mode does not show them for 16-bit colour."""
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(BITS_TAG, (8,))))
    if image.format == "PNG":
        file.seek(PNG_DEPTH_AT)
        return file.read(1)[0]
    return 8


def _oddities(image: Image.Image, orientation: int, file: IO[bytes]) -> tuple[str, ...]:
    facts = {
        "EXIF-rotated": orientation in range(2, 9),
        "CMYK": image.mode == "CMYK",
        "16-bit": _bit_depth(image, file) > 8,
        "alpha": image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
        "palette": image.mode in ("P", "PA"),
        "animated": image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1,
        "wrong suffix": not _suffix_fits(image, file),
    }
    return tuple(name for name, holds in facts.items() if holds)


def _suffix_fits(image: Image.Image, file: IO[bytes]) -> bool:
    name = getattr(file, "name", None)  # bytes from a stream have none
    suffix = str(name).rpartition(".")[2].lower()
    usual = {"JPEG": "jpg jpeg mpo", "MPO": "mpo jpg jpeg", "TIFF": "tif tiff dng"}
    return (
        not isinstance(name, str)
        or suffix in usual.get(str(image.format), str(image.format).lower()).split()
    )
