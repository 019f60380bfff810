"""Image files: a check for the index, and decoding to pixels. Files are never written.

OpenCV decodes, with the same pixels as YOLOv5; Pillow takes over where OpenCV cannot.
"""

from __future__ import annotations

import errno
import io
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from data.image_bounds import LARGE_PIXELS, BoundError, check_memory, check_png_chunks
from data.image_formats import FROM_BYTES_ONLY, format_of
from data.image_header import (
    DAMAGE,
    SWAPPED,
    Header,
    ImageError,
    open_with_pillow,
    read_header,
)
from data.jpeg_header import LEAST_SIDE, quick_header
from utils.regular_file import open_regular

if TYPE_CHECKING:
    from PIL import Image

JPEG_END = b"\xff\xd9"
USUAL_BYTES, MOST_BYTES_PER_PIXEL = 2**28, 32  # of a file; 32 are four numbers of 64 bits
# What a network share says for a moment while it reconnects, and how often and when to ask again.
TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN)
PAUSES = (0.1, 0.3)  # seconds
STRIPS = ((273, 279), (324, 325))  # TIFF's tags of places and lengths, of strips and of tiles
CHUNK_BYTES = 512  # that are read at once; the headers of PNG's chunks are far apart
BY_OPENCV = ("PPM", "PFM", "HDR", "SUN")  # Pillow does not read them, or only slowly
RAW_PPM = (b"P4", b"P5", b"P6")


def check_image(path: str | Path) -> Header:
    """Check that an image file is complete, and return its header. Raises ImageError.

    The end mark of JPEG, the chunks of PNG and the length in WebP show whether a file is complete;
    files of other formats are decoded, unless they are large.
    """
    try:
        quick = quick_header(path)
        if quick is not None:
            return quick
        with open_regular(path, CHUNK_BYTES) as file:
            _check_chunks(file)
            header = read_header(file)
            if min(header.size) < LEAST_SIDE:
                sides = f"{header.size[1]}x{header.size[0]}"
                raise ImageError("image too small", f"{sides}, below {LEAST_SIDE} pixels")
            _check_whole(header, file)
    except (OSError, ValueError) as error:
        raise _unreadable(error, path) from None
    return header


def read_image(path: str | Path) -> np.ndarray:
    """The pixels of an image file, [H, W, 3] uint8 BGR, upright. Raises ImageError.

    Grey and palette images become colour, alpha is dropped and not blended, 16 bits become 8, and
    the first of several frames is used.
    """
    return decode_image(read_bytes(path))


def read_bytes(path: str | Path) -> bytes:
    """The content of a file; a share that fails for a moment is asked again. Raises ImageError."""
    for pause in (*PAUSES, None):
        try:
            with open_regular(path) as file:
                if file.seek(0, io.SEEK_END) > USUAL_BYTES:
                    _check_length(file)
                file.seek(0)
                return file.read()
        except (OSError, ValueError) as error:
            if pause is None or getattr(error, "errno", None) not in TRANSIENT:
                raise _unreadable(error, path) from None
            time.sleep(pause)
    raise AssertionError("the last pause is None, so that the loop never ends here")


def _check_length(file: IO[bytes]) -> None:
    """Raise ImageError for a large file that is no image, or whose image needs no such length."""
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    height, width = read_header(file).size
    if length > USUAL_BYTES + MOST_BYTES_PER_PIXEL * height * width:
        raise ImageError(
            "header out of bounds", f"{length:,} bytes for {width:,} x {height:,} pixels"
        )


def _unreadable(error: Exception, path: str | Path) -> ImageError:
    if isinstance(error, FileNotFoundError):
        is_link = os.path.islink(path)
        return ImageError("image missing", "its link leads nowhere" if is_link else "no such file")
    return ImageError("image unreadable", getattr(error, "strerror", None) or str(error))


def decode_image(data: bytes) -> np.ndarray:
    """As read_image, for the content of a file. Raises ImageError."""
    file = io.BytesIO(data)
    _check_chunks(file)
    header = read_header(file)
    try:
        check_memory(*header.size)
    except BoundError as error:
        raise ImageError("too little memory", str(error)) from None
    _check_whole(header, file)
    is_tiff = header.format == "TIFF"
    pixels = None
    if not (is_tiff and "CMYK" in header.oddities):  # OpenCV takes CMYK in TIFF for RGB
        pixels = _decode_with_opencv(data)
    if pixels is None:
        pixels = _decode_with_pillow(header, file)
    elif not is_tiff:  # in TIFF the orientation is part of the format, and OpenCV applies it
        pixels = turn_upright(pixels, header.orientation)
    if pixels.shape[:2] != header.size:
        raise ImageError(
            "cannot be decoded", f"header and pixels disagree: {header.size}, {pixels.shape[:2]}"
        )
    return pixels


def _decode_with_opencv(data: bytes) -> np.ndarray | None:
    """Pixels [H, W, 3] uint8 BGR as they lie in the file; None if OpenCV cannot read them."""
    import cv2

    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError("cannot be decoded", str(error).splitlines()[0]) from None


def _check_chunks(file: IO[bytes]) -> None:
    """Raise ImageError for a PNG whose chunks do not reach the end mark."""
    start = file.read(FROM_BYTES_ONLY)
    kind = format_of(start)
    if kind is None or kind.name != "PNG":
        return
    try:
        whole = check_png_chunks(file, file.seek(0, io.SEEK_END))
    except BoundError as error:
        raise ImageError("header out of bounds", str(error)) from None
    if not whole:
        raise ImageError("truncated or damaged", "its chunks do not reach the end mark")


def _check_whole(header: Header, file: IO[bytes]) -> None:
    """Raise ImageError if the file is cut off; without an end mark, decode it to find out."""
    kind, length = header.format, file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(12)
    file.seek(max(length - 2, 0))
    if kind == "PNG" or (kind in ("JPEG", "MPO") and file.read() == JPEG_END):
        return
    if kind == "WEBP" and length >= int.from_bytes(start[4:8], "little") + 8:
        return
    if kind in BY_OPENCV:
        _check_by_opencv(header, file, start)
    elif kind in ("JPEG", "MPO"):
        _check_jpeg(file)
    elif header.size[0] * header.size[1] <= LARGE_PIXELS:
        _decode_strictly(file)
    elif kind == "TIFF":
        _check_strips(file, length)


def _check_by_opencv(header: Header, file: IO[bytes], start: bytes) -> None:
    """Check a format by its length if its pixels lie there as they are, else by decoding."""
    length, count = file.seek(0, io.SEEK_END), header.size[0] * header.size[1]
    least = count // 8 if start[:2] == b"P4" else count
    if (start[:2] in RAW_PPM or header.format == "PFM") and length < least:
        raise ImageError("truncated or damaged", f"{length:,} bytes for {count:,} pixels")
    if count <= LARGE_PIXELS:
        file.seek(0)
        if _decode_with_opencv(file.read()) is None:
            raise ImageError("truncated or damaged", f"OpenCV cannot decode this {header.format}")


def _check_jpeg(file: IO[bytes]) -> None:
    """Decode a JPEG at an eighth of its size, which reads all of it and takes little memory."""
    image = open_with_pillow(file)
    image.draft(image.mode, (1, 1))
    _load(image)


def _check_strips(file: IO[bytes], length: int) -> None:
    """Raise ImageError unless all strips or tiles of a TIFF end within the file."""
    tags = getattr(open_with_pillow(file), "tag_v2", {})
    for place, size in STRIPS:
        parts = zip(tags.get(place, ()), tags.get(size, ()), strict=False)
        if any(at + count > length for at, count in parts):
            raise ImageError("truncated or damaged", f"a part of it lies beyond {length:,} bytes")


def _decode_strictly(file: IO[bytes]) -> Image.Image:
    return _load(open_with_pillow(file))


def _load(image: Image.Image) -> Image.Image:
    try:
        image.load()
    except DAMAGE as error:
        raise ImageError("truncated or damaged", str(error)) from None
    return image


def _decode_with_pillow(header: Header, file: IO[bytes]) -> np.ndarray:
    if header.format in BY_OPENCV:
        raise ImageError("truncated or damaged", f"OpenCV cannot decode this {header.format}")
    from PIL import ImageOps

    image = _decode_strictly(file)
    if image.format != "TIFF":  # Pillow turns TIFF itself while loading
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ImageError("32-bit floating point", "its range is unknown; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        gray = np.clip(deep >> 8, 0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8 as the standard numbers them; other values are ignored."""
    if orientation in SWAPPED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
