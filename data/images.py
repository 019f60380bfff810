"""Images: the header for the index, the pixels for everybody else. Files are only ever read.

Pillow reads headers (some 50 µs a file) and OpenCV decodes, with the same pixels as YOLOv5 has from
it. Whatever Pillow and OpenCV disagree about (EXIF orientation, CMYK in TIFF) is settled here, so
that the size in the index and the image read later always agree.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(["bmp", "dng", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp", "pfm"])
FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")  # the JPEG reader finds MPO, several in a file
UNREAD_SUFFIXES = frozenset(
    ["gif", "heic", "heif", "avif", "jp2", "jxl", "psd", "svg", "ppm", "pgm", "tga"]
)  # images, but not for us
MAX_PIXELS_PER_BYTE = 2000  # even a blank RGB image has no more than 350 as PNG, 1000 as JPEG
MIN_SIDE = 10  # pixels; smaller images hold nothing to learn from
ORIENTATION_TAG, BITS_TAG, WIDTH_TAG, HEIGHT_TAG = 274, 258, 256, 257  # of EXIF and TIFF
PNG_START, PNG_DEPTH_AT = (
    b"\x89PNG\r\n\x1a\n",
    24,
)  # signature; offset of the byte with the bit depth
CHUNK_FRAME = 12  # bytes of a PNG chunk besides its content
JPEG_END = b"\xff\xd9"
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
# What Pillow's readers raise on damaged headers, apart from its own OSErrors.
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
    """A image that cannot be used. kind: a few words that are the same for all such images;
    detail: this one's.
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True, slots=True)
class Header:
    """size: (height, width) as shown, after EXIF rotation. oddities: kinds worth a line in the
    report.
    """

    size: tuple[int, int]
    format: str
    orientation: int
    oddities: tuple[str, ...]


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) as shown, from the header. Raises ImageError."""
    with _open_file(path) as file:
        return _read_header(file).size


def check_image(path: str | Path) -> Header:
    """Header of a image that is whole, as far as can be seen without decoding it. Raises
    ImageError.

    The end mark of JPEG, the chunks of PNG and the length in WebP tell a whole file; others are
    decoded to see.
    """
    with _open_file(path) as file:
        header = _read_header(file)
        if min(header.size) < MIN_SIDE:
            raise ImageError(
                "image too small", f"{header.size[1]}x{header.size[0]}, below {MIN_SIDE} pixels"
            )
        _check_whole(header.format, file)
    return header


def read_image(path: str | Path) -> np.ndarray:
    """[H, W, 3] uint8 BGR, upright. Raises ImageError.

    Gray and palette images become colour, alpha is left away (not blended), 16 bits become 8, the
    first of several frames counts.
    """
    with _open_file(path) as file:
        return decode_image(file.read())


def decode_image(data: bytes) -> np.ndarray:
    """read_image for bytes, e.g. from a stream."""
    import cv2

    file = io.BytesIO(data)
    header = _read_header(file)
    _check_whole(header.format, file)
    pixels = None
    if not (
        header.format == "TIFF" and "CMYK" in header.oddities
    ):  # OpenCV takes CMYK for RGB in TIFF
        try:
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise ImageError("cannot be decoded", str(error).splitlines()[0]) from None
    if pixels is None:
        pixels = _decode_with_pillow(file)
    elif (
        header.format != "TIFF"
    ):  # in TIFF the orientation is part of the format, and OpenCV has applied it
        pixels = _turn_upright(pixels, header.orientation)
    if pixels.shape[:2] != header.size:
        raise ImageError(
            "cannot be decoded", f"header and pixels disagree: {header.size}, {pixels.shape[:2]}"
        )
    return pixels


def _open_file(path: str | Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise ImageError("image missing", str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise ImageError(
            "image unreadable", getattr(error, "strerror", None) or str(error)
        ) from None


def _open_with_pillow(file: IO[bytes]) -> Image.Image:
    from PIL import Image

    file.seek(0)
    start = file.read(64)
    if not start:
        raise ImageError("empty file", "0 bytes")
    try:
        file.seek(0)
        return Image.open(file, formats=FORMATS)
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
    return "not a image, or damaged"


def _read_header(file: IO[bytes]) -> Header:
    picture = _open_with_pillow(file)
    orientation = _orientation(picture)
    try:
        width, height = picture.size
        _refuse_bomb(width * height, file.seek(0, io.SEEK_END))
        if orientation in SWAPPED and not _is_turned_already(picture):
            width, height = height, width
        return Header(
            (height, width), str(picture.format), orientation, _oddities(picture, orientation, file)
        )
    except DAMAGE as error:
        raise ImageError("damaged header", str(error)) from None


def _refuse_bomb(pixels: int, length: int) -> None:
    """Keep a damaged or made-up header from claiming memory that its file could never fill."""
    if pixels > MAX_PIXELS_PER_BYTE * length:
        raise ImageError("too many pixels", f"its header claims {pixels:,} for {length:,} bytes")


def _orientation(picture: Image.Image) -> int:
    """EXIF's 1 to 8, or 1. In PNG only EXIF in front of the pixels counts: Pillow decodes all to
    look behind them.
    """
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    try:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))
    except DAMAGE:  # broken EXIF is no reason to refuse the pixels
        return 1


def _is_turned_already(picture: Image.Image) -> bool:
    """Whether Pillow's size is the turned one already, as of some version for TIFF: the tags tell."""
    tags = getattr(picture, "tag_v2", None)
    return tags is not None and picture.size == (tags.get(HEIGHT_TAG), tags.get(WIDTH_TAG))


def _bit_depth(picture: Image.Image, file: IO[bytes]) -> int:
    """Bits of a sample; Pillow shows those of 16-bit colour in its tags only, or not at all."""
    if picture.format == "TIFF":
        return int(max(getattr(picture, "tag_v2", {}).get(BITS_TAG, (8,))))
    if picture.format == "PNG":
        file.seek(PNG_DEPTH_AT)
        return file.read(1)[0]
    return 8


def _oddities(picture: Image.Image, orientation: int, file: IO[bytes]) -> tuple[str, ...]:
    facts = {
        "EXIF-rotated": orientation in range(2, 9),
        "CMYK": picture.mode == "CMYK",
        "16-bit": _bit_depth(picture, file) > 8,
        "alpha": picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info,
        "palette": picture.mode in ("P", "PA"),
        "animated": picture.format in ("PNG", "WEBP") and getattr(picture, "n_frames", 1) > 1,
        "wrong suffix": not _suffix_fits(picture, file),
    }
    return tuple(name for name, holds in facts.items() if holds)


def _suffix_fits(picture: Image.Image, file: IO[bytes]) -> bool:
    name = getattr(file, "name", None)  # bytes from a stream have none
    suffix = str(name).rpartition(".")[2].lower()
    usual = {"JPEG": "jpg jpeg mpo", "MPO": "mpo jpg jpeg", "TIFF": "tif tiff dng"}
    return (
        not isinstance(name, str)
        or suffix in usual.get(str(picture.format), str(picture.format).lower()).split()
    )


def _check_whole(kind: str, file: IO[bytes]) -> None:
    """Raise ImageError if the file is cut off; where its marks cannot tell, by decoding it."""
    length = file.seek(0, io.SEEK_END)
    if kind == "PNG":
        _check_chunks(file, length)
        return
    file.seek(0)
    start = file.read(12)
    file.seek(max(length - 2, 0))
    if kind in ("JPEG", "MPO") and file.read() == JPEG_END:
        return
    if kind == "WEBP" and length >= int.from_bytes(start[4:8], "little") + 8:
        return
    _decode_strictly(file)


def _check_chunks(file: IO[bytes], length: int) -> None:
    """Follow PNG's chunks to the end mark.

    OpenCV would believe a chunk's length, and ask for gigabytes.
    """
    at = len(PNG_START)
    while at + CHUNK_FRAME <= length:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        at += CHUNK_FRAME + size
        if kind == b"IEND" and at <= length:
            return
    raise ImageError("truncated or damaged", "its chunks do not reach the end mark")


def _decode_strictly(file: IO[bytes]) -> Image.Image:
    picture = _open_with_pillow(file)
    try:
        picture.load()
    except DAMAGE as error:
        raise ImageError("truncated or damaged", str(error)) from None
    return picture


def _decode_with_pillow(file: IO[bytes]) -> np.ndarray:
    from PIL import ImageOps

    picture = _decode_strictly(file)
    if picture.format != "TIFF":  # Pillow turns TIFF itself while loading
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.int64)
        gray = np.clip(deep >> 8, 0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8 as the standard numbers them; other values mean nothing."""
    if orientation in SWAPPED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
