"""The header of an ordinary JPEG, read in a few microseconds.

Pillow takes ten times as long, which counts in the scan of many images. A JPEG with anything out of
the ordinary (EXIF, CMYK, progressive, a damaged segment, no end mark) is left to data/images.py, so
that what is refused or noted does not depend on this file: where it answers, Pillow agrees.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from data.image_bounds import JPEG_FRAMES, JPEG_SCAN, OPENCV_SIDE, SMALL_PIXELS, most_pixels
from data.image_header import SUFFIXES_OF, Header
from utils.regular_file import open_handle, read_handle

AT_ONCE = 4096  # bytes; most headers have less than 1000
MOST_SEGMENTS = 64
SEGMENT = struct.Struct(">BBH")  # mark, kind, length of what follows with these two bytes
START_MARK, END_MARK = b"\xff\xd8", b"\xff\xd9"
BASELINE, TABLES, APP1, PHOTOSHOP = (0xC0, 0xC1), 0xDB, 0xE1, 0xED
TABLE_BYTES = 65  # of a quantization table of 8 bits, with its number
LEAST_SIDE = 10  # pixels; smaller images hold nothing to learn from, and are refused
# Segments that change nothing in the header, whatever they hold: Huffman tables, restart interval,
# comment, and those of applications that no reader knows.
IDLE = frozenset((0xC4, 0xDD, 0xFE, *range(0xE3, 0xED), 0xEF))
# Segments of applications that are read: marker -> (the beginning, and bytes that it must have).
KNOWN = {0xE0: (b"JFIF\0", 14), 0xE2: (b"ICC_PROFILE\0", 14), 0xEE: (b"Adobe", 12)}
BLOCK, BLOCK_FRAME = b"8BIM", 12  # of Photoshop's segment


def quick_header(path: str | Path) -> Header | None:
    """The header of a whole, ordinary JPEG; None for any other file.

    Raises OSError if the file cannot be read, and ValueError for a path with a zero byte.
    """
    if str(path).rpartition(".")[2].lower() not in SUFFIXES_OF["JPEG"]:
        return None
    handle, length = open_handle(path)
    try:
        size = ordinary_size(partial(read_handle, handle))
        if size is None:
            return None
        os.lseek(handle, length - len(END_MARK), os.SEEK_SET)
        whole = os.read(handle, len(END_MARK)) == END_MARK
    finally:
        os.close(handle)
    return Header(size, "JPEG", 1, ()) if whole else None


def ordinary_size(read: Callable[[int], bytes]) -> tuple[int, int] | None:
    """(height, width) of an ordinary JPEG in pixels; None for any other.

    read(count) gives the next bytes of the file.
    """
    data = read(AT_ONCE)
    if not data.startswith(START_MARK):
        return None
    size, components, at = None, 0, len(START_MARK)
    for _ in range(MOST_SEGMENTS):
        if at + SEGMENT.size > len(data):
            return None
        mark, kind, length = SEGMENT.unpack_from(data, at)
        end = at + 2 + length
        if end + SEGMENT.size > len(data):
            data += read(end + AT_ONCE - len(data))
        if mark != 0xFF or length < 2 or end > len(data):
            return None
        content = data[at + SEGMENT.size : end]
        if kind == JPEG_SCAN:  # which must be of all components, or more would have to be looked at
            return size if size and content[:1] >= bytes((components,)) else None
        if kind in JPEG_FRAMES:
            size, components = (None, 0) if size else _frame(kind, content)
            if not size:
                return None
        elif kind not in IDLE and not _is_plain(kind, content):
            return None
        at = end
    return None


def _frame(kind: int, content: bytes) -> tuple[tuple[int, int] | None, int]:
    """The (height, width) and the number of components of a frame of a usual kind and size."""
    if kind not in BASELINE or len(content) < 6 or content[0] != 8 or content[5] not in (1, 3):
        return None, 0
    components = content[5]
    height, width = (content[1] << 8) + content[2], (content[3] << 8) + content[4]
    usual = min(height, width) >= LEAST_SIDE and max(height, width) <= OPENCV_SIDE
    usual = usual and height * width <= min(SMALL_PIXELS, most_pixels())
    usual = usual and len(content) == 6 + 3 * components
    return ((height, width), components) if usual else (None, 0)


def _is_plain(kind: int, content: bytes) -> bool:
    """Whether a segment is a well-formed one of a kind that changes nothing in the header."""
    if kind == TABLES:
        return not len(content) % TABLE_BYTES and max(content[::TABLE_BYTES], default=16) < 16
    if kind == APP1:  # EXIF and XMP may tell the orientation
        return not content.startswith((b"Exif", b"http"))
    if kind == PHOTOSHOP:
        return _is_photoshop(content)
    beginning, least = KNOWN.get(kind, (b"", 2**16))
    return len(content) >= least and content.startswith(beginning)


def _is_photoshop(content: bytes) -> bool:
    """Whether all blocks of Photoshop's segment are whole, but for their content."""
    at = len(b"Photoshop 3.0\0")
    while content[at : at + 4] == BLOCK:
        if at + BLOCK_FRAME > len(content):
            return False
        at += 7 + content[at + 6]
        at += at & 1
        at += 4 + int.from_bytes(content[at : at + 4], "big")
        at += at & 1
    return True
