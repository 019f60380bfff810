"""The header of an image file: its displayed size, its format, and its oddities.

Pillow reads headers in about 50 µs per file. Where Pillow and OpenCV disagree (EXIF orientation,
CMYK in TIFF), this file and data/images.py decide, so that the size in the index always agrees with
the pixels that are decoded later.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from data.image_bounds import (
    BoundError,
    check_jpeg_markers,
    check_pixels,
    check_size,
    check_tags,
)
from data.image_formats import (
    FORMATS,
    FROM_BYTES_ONLY,
    JPEG_OR_PNG,
    ImageFormat,
    foreign_kind,
    format_of,
    pillow_reader,
)

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION_TAG, BITS_TAG, WIDTH_TAG, HEIGHT_TAG = 274, 258, 256, 257  # of EXIF and TIFF
PNG_DEPTH_AT = 24  # offset of the byte with the bit depth
SWAPPED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
SUFFIXES_OF = {kind.name: kind.suffixes for kind in FORMATS}
TEXT_HEADER_BYTES = 4096  # of PFM and Radiance
# The sizes in the two headers that Pillow does not read: (width, height) by name.
PFM_SIZE = re.compile(rb"P[Ff]\s+(?P<w>\d{1,9})\s+(?P<h>\d{1,9})\s")
HDR_SIZE = re.compile(rb"\n\n-Y (?P<h>\d{1,9}) \+X (?P<w>\d{1,9})\n")
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
    AttributeError,
    RuntimeError,
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
        format: Pillow's name of the format, or that in data/image_formats.py.
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

    start = _start_of(file)
    kind = format_of(start)
    reader = pillow_reader(kind) if kind is not None and kind.module else None
    if kind is None or reader is None:
        raise ImageError(*foreign_kind(start))
    try:
        _check_bounds(kind.name, file)
        file.seek(0)
        return reader(file, "")
    except BoundError as error:
        raise ImageError("header out of bounds", str(error)) from None
    except Image.DecompressionBombError as error:  # Pillow's own bound, for WebP only
        raise ImageError("too many pixels", f"{_first_line(error)} Cut it into tiles") from None
    except DAMAGE as error:
        if str(error) == "unknown pixel mode":  # such as floating point in colour
            raise ImageError("pixels of an unknown kind", JPEG_OR_PNG) from None
        raise ImageError("damaged header", _first_line(error)) from None


def read_header(file: IO[bytes]) -> Header:
    """The header of an open file. Raises ImageError."""
    start = _start_of(file)
    kind = format_of(start)
    try:
        if kind is not None and not kind.module:
            return _text_header(kind, file)
        image = open_with_pillow(file)
        check_pixels(image, str(image.format), file.seek(0, io.SEEK_END), start)
        orientation = _orientation(image)
        width, height = image.size
        if orientation in SWAPPED and not _is_turned_already(image):
            width, height = height, width
        return Header(
            (height, width), str(image.format), orientation, _oddities(image, orientation, file)
        )
    except BoundError as error:
        raise ImageError("too many pixels", str(error)) from None
    except DAMAGE as error:
        raise ImageError("damaged header", _first_line(error)) from None


def _start_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    start = file.read(FROM_BYTES_ONLY)
    if not start:
        raise ImageError("empty file", "0 bytes")
    return start


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check_bounds(kind: str, file: IO[bytes]) -> None:
    """Refuse a header that would cost Pillow too much. Raises BoundError."""
    if kind == "JPEG":
        check_jpeg_markers(file)
    elif kind == "TIFF":
        check_tags(file)


def _text_header(kind: ImageFormat, file: IO[bytes]) -> Header:
    """The header of a PFM or Radiance file."""
    file.seek(0)
    pattern = PFM_SIZE if kind.name == "PFM" else HDR_SIZE
    found = pattern.search(file.read(TEXT_HEADER_BYTES))
    if found is None:
        raise ImageError("damaged header", "it has no size")
    width, height = int(found["w"]), int(found["h"])
    check_size(width, height, kind.name, file.seek(0, io.SEEK_END))
    wrong = () if _suffix_fits(kind.name, file) else ("wrong suffix",)
    return Header((height, width), kind.name, 1, ("floating point", *wrong))


def _orientation(image: Image.Image) -> int:
    """The orientation in EXIF, 1 to 8; 1 if there is none."""
    # PNG may also have EXIF after the pixels, but Pillow would decode the whole image to find it.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        exif = bytes(image.info.get("exif", b""))
        check_tags(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
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
    return 16 if image.mode.startswith("I") else 8


def _oddities(image: Image.Image, orientation: int, file: IO[bytes]) -> tuple[str, ...]:
    many = image.format in ("PNG", "WEBP", "AVIF") and getattr(image, "n_frames", 1) > 1
    facts = {
        "EXIF-rotated": orientation in range(2, 9),
        "CMYK": image.mode == "CMYK",
        "16-bit": _bit_depth(image, file) > 8,
        "alpha": image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
        "palette": image.mode in ("P", "PA"),
        "animated": many or (image.format == "GIF" and _has_second_frame(image)),
        "wrong suffix": not _suffix_fits(str(image.format), file),
    }
    return tuple(name for name, holds in facts.items() if holds)


def _has_second_frame(image: Image.Image) -> bool:
    """Whether a GIF names how it is repeated; its frames would all have to be read to count."""
    return "loop" in image.info


def _suffix_fits(kind: str, file: IO[bytes]) -> bool:
    name = getattr(file, "name", None)  # bytes from a stream have none
    suffix = str(name).rpartition(".")[2].lower()
    return not isinstance(name, str) or suffix in SUFFIXES_OF["JPEG" if kind == "MPO" else kind]
