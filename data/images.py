"""Image files: a check for the index, and decoding to pixels. Files are never written.

OpenCV decodes, with the same pixels as YOLOv5; Pillow takes over where OpenCV cannot.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from data.image_header import (
    DAMAGE,
    SWAPPED,
    Header,
    ImageError,
    open_with_pillow,
    read_header,
)

if TYPE_CHECKING:
    from PIL import Image

PNG_START = b"\x89PNG\r\n\x1a\n"
CHUNK_FRAME = 12  # bytes of a PNG chunk besides its content
JPEG_END = b"\xff\xd9"
MIN_SIDE = 10  # pixels; smaller images hold nothing to learn from


def check_image(path: str | Path) -> Header:
    """Check that an image file is complete, and return its header. Raises ImageError.

    The end mark of JPEG, the chunks of PNG and the length in WebP show whether a file is complete;
    files of other formats are decoded.
    """
    with _open_file(path) as file:
        header = read_header(file)
        if min(header.size) < MIN_SIDE:
            raise ImageError(
                "image too small", f"{header.size[1]}x{header.size[0]}, below {MIN_SIDE} pixels"
            )
        _check_whole(header.format, file)
    return header


def read_image(path: str | Path) -> np.ndarray:
    """The pixels of an image file, [H, W, 3] uint8 BGR, upright. Raises ImageError.

    Grey and palette images become colour, alpha is dropped and not blended, 16 bits become 8, and
    the first of several frames is used.
    """
    with _open_file(path) as file:
        return decode_image(file.read())


def decode_image(data: bytes) -> np.ndarray:
    """As read_image, for the content of a file. Raises ImageError."""
    import cv2

    file = io.BytesIO(data)
    header = read_header(file)
    _check_whole(header.format, file)
    is_tiff = header.format == "TIFF"
    pixels = None
    if not (is_tiff and "CMYK" in header.oddities):  # OpenCV takes CMYK in TIFF for RGB
        try:
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise ImageError("cannot be decoded", str(error).splitlines()[0]) from None
    if pixels is None:
        pixels = _decode_with_pillow(file)
    elif not is_tiff:  # in TIFF the orientation is part of the format, and OpenCV applies it
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


def _check_whole(kind: str, file: IO[bytes]) -> None:
    """Raise ImageError if the file is cut off; without an end mark, decode it to find out."""
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
    """Follow PNG's chunks to the end mark. Raises ImageError if they do not reach it."""
    # OpenCV would trust a damaged length and allocate gigabytes of memory.
    at = len(PNG_START)
    while at + CHUNK_FRAME <= length:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        at += CHUNK_FRAME + size
        if kind == b"IEND" and at <= length:
            return
    raise ImageError("truncated or damaged", "its chunks do not reach the end mark")


def _decode_strictly(file: IO[bytes]) -> Image.Image:
    image = open_with_pillow(file)
    try:
        image.load()
    except DAMAGE as error:
        raise ImageError("truncated or damaged", str(error)) from None
    return image


def _decode_with_pillow(file: IO[bytes]) -> np.ndarray:
    from PIL import ImageOps

    image = _decode_strictly(file)
    if image.format != "TIFF":  # Pillow turns TIFF itself while loading
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        gray = np.clip(deep >> 8, 0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8 as the standard numbers them; other values are ignored."""
    if orientation in SWAPPED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
