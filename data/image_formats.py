"""The formats of images: suffixes, the first bytes by which contents are known, and who reads them.

What OpenCV decodes is read in training, validation and detection, whatever the suffix says.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from PIL import Image

SUFFIXES = frozenset(
    (
        *("avif", "bmp", "dib", "dng", "exr", "gif", "hdr", "jfif", "jp2", "jpe", "jpeg", "jpg"),
        *(
            "mpo",
            "pbm",
            "pfm",
            "pgm",
            "pic",
            "png",
            "pnm",
            "ppm",
            "pxm",
            "ras",
            "sr",
            "tif",
            "tiff",
        ),
        "webp",
    )
)
UNREAD_SUFFIXES = frozenset(  # unsupported images, which are reported instead of ignored
    ["arw", "cr2", "cr3", "heic", "heif", "ico", "jxl", "jxr", "nef", "psd", "raw", "svg", "tga"]
)
FROM_BYTES_ONLY = 64  # bytes at the start of a file by which its format is known


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A format that is read.

    Attributes:
        name: Pillow's name of the format, or our own where Pillow does not read it.
        starts: (offset, bytes) pairs; the content of a file must have all of one entry.
        module: Pillow's module that reads it, "" if only OpenCV does.
        suffixes: The usual suffixes.
    """

    name: str
    starts: tuple[tuple[int, bytes], ...]
    module: str
    suffixes: tuple[str, ...]


FORMATS = (
    ImageFormat(
        "JPEG", ((0, b"\xff\xd8\xff"),), "JpegImagePlugin", ("jpg", "jpeg", "jpe", "jfif", "mpo")
    ),
    ImageFormat("PNG", ((0, b"\x89PNG\r\n\x1a\n"),), "PngImagePlugin", ("png",)),
    ImageFormat(
        "TIFF",
        tuple((0, start) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        "TiffImagePlugin",
        ("tif", "tiff", "dng"),
    ),
    ImageFormat("WEBP", ((8, b"WEBP"),), "WebPImagePlugin", ("webp",)),
    ImageFormat("BMP", ((0, b"BM"),), "BmpImagePlugin", ("bmp", "dib")),
    ImageFormat("GIF", ((0, b"GIF87a"), (0, b"GIF89a")), "GifImagePlugin", ("gif",)),
    ImageFormat("PFM", ((0, b"PF\n"), (0, b"Pf\n")), "", ("pfm",)),
    ImageFormat(
        "PPM",
        tuple((0, f"P{digit}".encode()) for digit in range(1, 7)),
        "PpmImagePlugin",
        ("ppm", "pgm", "pbm", "pnm", "pxm"),
    ),
    ImageFormat("SUN", ((0, b"\x59\xa6\x6a\x95"),), "SunImagePlugin", ("ras", "sr")),
    ImageFormat(
        "JPEG2000",
        ((0, b"\0\0\0\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
        "Jpeg2KImagePlugin",
        ("jp2",),
    ),
    ImageFormat("AVIF", ((4, b"ftypavif"), (4, b"ftypavis")), "AvifImagePlugin", ("avif",)),
    ImageFormat("HDR", ((0, b"#?RADIANCE"), (0, b"#?RGBE")), "", ("hdr", "pic")),
)
JPEG_OR_PNG = "save it as JPEG or PNG"
FOREIGN = (
    (b"%PDF", "PDF", JPEG_OR_PNG),
    (b"8BPS", "Photoshop", JPEG_OR_PNG),
    (b"<svg", "SVG", JPEG_OR_PNG),
    (b"<?xml", "XML or SVG", JPEG_OR_PNG),
    (b"<!DOC", "HTML", "download the image itself"),
    (b"<html", "HTML", "download the image itself"),
    (b"version https://git-lfs", "git-lfs pointer", "run `git lfs pull`"),
    (b"PK\x03\x04", "ZIP", "unpack it"),
    (b"\xff\x0a", "JPEG XL", JPEG_OR_PNG),
    (b"\0\0\x01\0", "icon", JPEG_OR_PNG),
    (b"\x76\x2f\x31\x01", "OpenEXR", "OpenCV leaves it out by default; save it as 16-bit PNG"),
)
HEIC_REMEDY = "save it as JPEG, e.g. `magick a.heic a.jpg` or `heif-convert a.heic a.jpg`"


def format_of(start: bytes) -> ImageFormat | None:
    """The format of a file by its first bytes; None if it is not read."""
    for kind in FORMATS:
        if any(start.startswith(part, at) for at, part in kind.starts):
            return kind
    return None


def foreign_kind(start: bytes) -> tuple[str, str]:
    """What a file is that is not read, and the remedy."""
    for signature, name, remedy in FOREIGN:
        if start.startswith(signature):
            return f"{name} file, not a supported image", remedy
    if start[4:8] == b"ftyp":
        brand = start[8:12].decode("ascii", "replace").upper().strip()
        is_still = brand in ("HEIC", "HEIX", "MIF1", "MSF1", "HEIM", "HEVC")
        remedy = HEIC_REMEDY if is_still else JPEG_OR_PNG
        return f"{brand} file, not a supported image", remedy
    return "not an image, or damaged", JPEG_OR_PNG


def unread_remedy(suffix: str) -> str:
    """What to do about an image with one of UNREAD_SUFFIXES."""
    return HEIC_REMEDY if suffix in ("heic", "heif") else JPEG_OR_PNG


@cache
def pillow_reader(kind: ImageFormat) -> Callable[[IO[bytes], str], Image.Image] | None:
    """Pillow's reader of a format, None if this Pillow has none.

    It is called without Image.open(), whose own bound on pixels is a setting of the whole process,
    and a warning that `python -W error` makes an error. data/image_bounds.py has ours.
    """
    import warnings

    from PIL import Image

    # Pillow warns of damaged tags and goes on, which the report says better.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    importlib.import_module(f"PIL.{kind.module}")
    entry = Image.OPEN.get(kind.name)
    return entry[0] if entry else None
