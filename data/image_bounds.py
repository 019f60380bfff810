"""Bounds on what an image file may ask for, from its header alone: pixels, tags and chunks.

A file of a few bytes may claim a picture of any size. Refused is what OpenCV refuses, what the
memory of the machine does not hold, and what a file of this length cannot hold in its format.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import IO, TYPE_CHECKING

from data.memory import available_memory, total_memory

if TYPE_CHECKING:
    from PIL import Image

BYTES_PER_PIXEL = 3  # decoded, as OpenCV returns it
OPENCV_PIXELS, OPENCV_SIDE = 2**30, 2**20  # OpenCV's own bounds
MEMORY_SHARE = 0.25  # of the machine's memory that one decoded image may take
PIXELS_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"  # raises OpenCV's bound as well as ours
SMALL_PIXELS = 2**24  # up to here an image costs too little to ask whether its file can hold it
LARGE_PIXELS = 2**25  # from here on a file is not decoded only to see whether it is whole
# The most that a byte can stand for. A deflated byte stands for 1,032 bytes at most; a blank JPEG
# of colours reaches 350 pixels and a grey one 1,000; the others are generous.
BYTES_PER_BYTE = {"PNG": 1032}
PIXELS_PER_BYTE = {"JPEG": 2000, "MPO": 2000, "GIF": 4000, "WEBP": 2**40}
USUAL_PIXELS_PER_BYTE = 20_000
TIFF_COMPRESSION, TIFF_BITS = 259, 258
TIFF_RAW, TIFF_FAX, TIFF_JPEG = (1,), (2, 3, 4), (6, 7)
TIFF_PACKED = {5: 1400, 8: 1032, 32946: 1032, 32773: 64}  # LZW, deflate, PackBits: bytes per byte
PNG_BITS_AT, PNG_SAMPLES = 24, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
MOST_JPEG_MARKERS, MOST_PNG_CHUNKS = 4000, 20_000
JPEG_APP1, JPEG_SCAN, JPEG_END_MARK = 0xE1, 0xDA, 0xD9
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_PROGRESSIVE = 2  # of every four frames
MOST_JPEG_SCANS = 64  # encoders write about 10
MOST_EXIF = 2**23  # bytes; a segment has 2**16, and more than one is rare
PIECE = 2**20  # bytes that are read at once
PNG_BYTES_PER_CHUNK = 256  # a PNG of more chunks must have this many bytes in each, on average
TAG_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
TAG_BYTES = 64 * 2**20  # bytes that all tags of an EXIF block may stand for together
CHUNK_FRAME = 12  # bytes of a PNG chunk besides its content


class BoundError(ValueError):
    """A file that asks for more than its bound; the text says of what, and what to do."""


@cache
def most_pixels() -> int:
    """The most pixels of an image that is read, on this machine."""
    wanted = os.environ.get(PIXELS_VARIABLE, "")
    if wanted.isdecimal():
        return int(wanted)
    share = int(total_memory() * MEMORY_SHARE / BYTES_PER_PIXEL)
    return min(OPENCV_PIXELS, share or OPENCV_PIXELS)


def check_pixels(image: Image.Image, kind: str, length: int, start: bytes) -> None:
    """Refuse an image that costs too much, or that its file cannot hold. Raises BoundError.

    Args:
        image: Pillow's image, its pixels not decoded.
        kind: The name of the format.
        length: Length of the file, bytes.
        start: The first bytes of the file.
    """
    check_size(*image.size, kind, length)
    width, height = image.size
    if width * height <= SMALL_PIXELS:
        return
    if kind == "PNG":
        bits = start[PNG_BITS_AT] * PNG_SAMPLES.get(start[PNG_BITS_AT + 1], 1)
        _require(
            height * -(-width * bits // 8) <= BYTES_PER_BYTE[kind] * length, image.size, length
        )
    elif kind == "TIFF":
        _check_tiff(image, length)
    elif kind == "BMP" and image.info.get("compression") in (0, 3):
        _require(width * height // 8 <= length, image.size, length)


def check_size(width: int, height: int, kind: str, length: int) -> None:
    """Refuse a number of pixels that no image, or no file of this length, has. BoundError.

    Args:
        width, height: Size in the header, pixels.
        kind: The name of the format.
        length: Length of the file, bytes.
    """
    count = width * height
    if count > most_pixels() or max(width, height) > OPENCV_SIDE:
        raise BoundError(
            f"its header claims {width:,} x {height:,} pixels, above {most_pixels():,}; cut it into"
            f" tiles, or set {PIXELS_VARIABLE} in the environment"
        )
    if count > SMALL_PIXELS and kind not in ("PNG", "TIFF"):
        per_byte = PIXELS_PER_BYTE.get(kind, USUAL_PIXELS_PER_BYTE)
        _require(count <= per_byte * length, (width, height), length)


def check_memory(width: int, height: int) -> None:
    """Refuse to decode a large image for which the memory is not free now. Raises BoundError."""
    need = 2 * width * height * BYTES_PER_PIXEL
    if width * height > LARGE_PIXELS and 0 < available_memory() < need:
        raise BoundError(
            f"{width:,} x {height:,} pixels need {need / 1e9:.1f} GB to decode, and less is free;"
            " cut it into tiles, or use fewer --workers"
        )


def _require(condition: bool, size: tuple[int, int], length: int) -> None:
    if not condition:
        raise BoundError(
            f"its header claims {size[0]:,} x {size[1]:,} pixels, which {length:,} bytes cannot"
            " hold"
        )


def _check_tiff(image: Image.Image, length: int) -> None:
    tags = getattr(image, "tag_v2", {})
    compression = tags.get(TIFF_COMPRESSION, 1)
    width, height = image.size
    bits = sum(tags.get(TIFF_BITS, (1,)))
    raw = height * -(-width * bits // 8)
    if compression in TIFF_RAW:
        _require(raw <= length, image.size, length)
    elif compression in TIFF_FAX:  # a blank row takes one bit
        _require(height <= 8 * length, image.size, length)
    elif compression in TIFF_JPEG:
        _require(width * height <= PIXELS_PER_BYTE["JPEG"] * length, image.size, length)
    elif compression in TIFF_PACKED:
        _require(raw <= TIFF_PACKED[compression] * length, image.size, length)


def check_tags(file: IO[bytes]) -> None:
    """Refuse a TIFF, or the block of EXIF, whose tags stand for too many bytes. BoundError.

    Each tag names a place and a length in the file, so that 64 KB may stand for gigabytes.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(16)
    order, is_big = "<" if start[:2] == b"II" else ">", b"+" in start[2:4]
    if len(start) < 16:
        return
    at = struct.unpack_from(f"{order}{'Q' if is_big else 'L'}", start, 8 if is_big else 4)[0]
    file.seek(min(at, length))
    frame = file.read(8 if is_big else 2)
    if len(frame) < (8 if is_big else 2):
        return
    count = int.from_bytes(frame, "little" if order == "<" else "big")
    entry = struct.Struct(f"{order}{'HHQQ' if is_big else 'HHLL'}")
    if count * length <= TAG_BYTES:
        return
    table = file.read(min(count * entry.size, length))
    whole = sum(
        min(count_of * TAG_SIZES.get(kind, 1), length)
        for _, kind, count_of, _ in entry.iter_unpack(
            table[: len(table) // entry.size * entry.size]
        )
    )
    if whole > TAG_BYTES + 2 * length:
        raise BoundError(f"its {count:,} tags stand for {whole:,} bytes")


def check_jpeg_markers(file: IO[bytes]) -> None:
    """Refuse a JPEG with too many segments, tags or scans. Raises BoundError."""
    exif, components, in_parts = bytearray(), 0, False
    for kind, length in _jpeg_segments(file):
        start = file.read(6)
        if kind == JPEG_APP1 and start == b"Exif\0\0":
            exif += file.read(max(length - 8, 0))
            if len(exif) > MOST_EXIF:
                raise BoundError(f"its EXIF has more than {MOST_EXIF:,} bytes")
        elif kind in JPEG_FRAMES and len(start) == 6:
            components, in_parts = start[5], kind % 4 == JPEG_PROGRESSIVE
        elif kind == JPEG_SCAN and (in_parts or start[:1] < bytes([components])):
            _check_scans(file)
    check_tags(io.BytesIO(exif))


def _jpeg_segments(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """The marker and the length of each segment up to the first scan, the file behind them."""
    at = 2
    for _ in range(MOST_JPEG_MARKERS):
        file.seek(at)
        segment = file.read(4)
        if len(segment) < 4 or segment[0] != 0xFF or segment[1] == JPEG_END_MARK:
            return
        if segment[1] == 0xFF:  # a filling byte
            at += 1
            continue
        length = int.from_bytes(segment[2:], "big")
        yield segment[1], length
        if segment[1] == JPEG_SCAN:
            return
        at += 2 + length
    raise BoundError(f"its header has more than {MOST_JPEG_MARKERS:,} segments")


def _check_scans(file: IO[bytes]) -> None:
    """Refuse a JPEG that is refined too often. Raises BoundError.

    A scan of a few bytes may go through all pixels once more.
    """
    count, last = 1, b""
    while piece := file.read(PIECE):
        count += (last + piece).count(b"\xff\xda")
        last = piece[-1:]
        if count > MOST_JPEG_SCANS:
            raise BoundError(f"it has more than {MOST_JPEG_SCANS} scans; save it again")


def check_png_chunks(file: IO[bytes], length: int) -> bool:
    """Follow PNG's chunks; return whether they reach the end mark. Raises BoundError."""
    # OpenCV would trust a damaged length and allocate gigabytes of memory.
    at, count = 8, 0
    while at + CHUNK_FRAME <= length:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"eXIf":
            check_tags(io.BytesIO(file.read(min(size, length))))
        at, count = at + CHUNK_FRAME + size, count + 1
        if count > MOST_PNG_CHUNKS and at < count * PNG_BYTES_PER_CHUNK:
            raise BoundError(f"it has more than {MOST_PNG_CHUNKS:,} chunks of a few bytes")
        if kind == b"IEND":
            return at <= length
    return False
