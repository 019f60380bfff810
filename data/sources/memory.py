"""Images in memory, and lists of images and paths, as a source of Frames.

Callers of api/ and hubconf.py pass them: paths, Pillow images, arrays and tensors.
data/sources/open.py handles paths and everything else that --source takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from torch import Tensor

from data.sources.names import result_names
from data.sources.open import FileSource, Source, open_source
from data.sources.paths import expand
from utils.errors import UserError
from utils.output import Say, print_anywhere
from utils.structures import Frame

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class MixedSource:
    """Paths and images [H, W, 3] uint8 BGR in one list, in order."""

    parts: Sequence[str | np.ndarray]
    vid_stride: int = 1
    warn: Say = print_anywhere
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def items(self) -> int:
        return len(self.parts)

    def close(self) -> None:
        """Do nothing, since no file stays open."""

    def __iter__(self) -> Iterator[Frame]:
        paths = [
            part if isinstance(part, str) else f"image{number}.jpg"
            for number, part in enumerate(self.parts)
        ]
        for number, (part, path, name) in enumerate(
            zip(self.parts, paths, result_names(paths), strict=True), 1
        ):
            if isinstance(part, str):
                file = FileSource([part], self.vid_stride, self.warn, self.skipped)
                for frame in file:
                    yield replace(frame, name=name, item=number, items=self.items)
            else:
                yield Frame(part, path, name, item=number, items=self.items)


def open_any(source: object, vid_stride: int = 1, rgb: bool = False) -> Source:
    """Open anything that a caller may pass to a model.

    Args:
        source: A path, camera number or URL as for open_source, a Pillow image, an array, a tensor
            of floats in 0..1, or a list of paths and images.
        vid_stride: Take every vid_stride-th frame of a video or stream.
        rgb: Arrays are RGB instead of BGR. Pillow images and tensors are always RGB.

    Returns:
        The source.

    Raises:
        UserError: The source is none of these.
    """
    if isinstance(source, (str, Path)) or (
        isinstance(source, int) and not isinstance(source, bool)
    ):
        return open_source(str(source), vid_stride)
    parts = list(source) if isinstance(source, (list, tuple)) else [source]
    if not parts:
        raise UserError("source: is an empty list; give at least one image")
    found: list[str | np.ndarray] = []
    for part in parts:
        found += expand(str(part)) if isinstance(part, (str, Path)) else pixels_of(part, rgb)
    return MixedSource(found, vid_stride)


def pixels_of(image: object, rgb: bool = False) -> list[np.ndarray]:
    """The images [H, W, 3] uint8 BGR of a Pillow image, an array or a tensor.

    A tensor may be a batch. Raises UserError for anything else.
    """
    if isinstance(image, Tensor):
        return from_tensor(image)
    if isinstance(image, np.ndarray):
        return [from_array(image, rgb)]
    if _is_pillow(image):
        return [_from_pillow(image)]
    kind = type(image).__name__
    raise UserError(
        f"source: {kind} is not an image; give a path, a Pillow image, an array [H, W, 3] or a"
        " tensor"
    )


def _is_pillow(image: object) -> TypeGuard[Image.Image]:
    """Whether an object is a Pillow image, determined without importing Pillow."""
    return hasattr(image, "convert") and hasattr(image, "getexif")


def _from_pillow(image: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 BGR, upright."""
    from PIL import ImageOps

    if image.mode in ("I", "F"):
        raise UserError(
            f"source: the Pillow image has mode {image.mode}, whose range is not known; scale to"
            " 0..255 and .convert('L')"
        )
    if not image.width * image.height:
        raise UserError(f"source: the Pillow image is {image.width}x{image.height}, so it is empty")
    upright = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # convert() would make everything above 255 white
        return from_array((np.asarray(upright) >> 8).astype(np.uint8))
    return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[..., ::-1])


def from_array(image: np.ndarray, rgb: bool = False) -> np.ndarray:
    """[H, W], [H, W, 1, 3 or 4] or [3, H, W] uint8 -> [H, W, 3] uint8 BGR, without alpha.

    Raises UserError for another type or shape.
    """
    if not image.size:
        raise UserError(f"source: the array is {list(image.shape)}, so it is empty")
    if image.dtype != np.uint8:
        raise UserError(
            f"source: the array is {image.dtype}, but uint8 0..255 is needed; {_remedy(image)}"
        )
    if image.ndim == 3 and image.shape[2] not in (1, 3, 4) and image.shape[0] in (1, 3):
        image = image.transpose(1, 2, 0)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise UserError(
            f"source: the array is {list(image.shape)}, but [H, W, 3] is needed; pass batches as"
            " a list"
        )
    colours = np.repeat(image, 3, 2) if image.shape[2] == 1 else image[..., :3]
    return np.ascontiguousarray(colours[..., ::-1] if rgb else colours)


def _remedy(image: np.ndarray) -> str:
    """How an array of another type becomes uint8 0..255, by its type and largest value."""
    kind, cast = image.dtype.kind, "use .astype('uint8')"
    if kind not in "biuf":
        return "its values are no brightness"
    largest = float(np.nanmax(image)) if not np.isnan(image).all() else 0.0
    if kind == "b" or (kind == "f" and largest <= 1):
        return f"multiply by 255 and {cast}"
    return (
        cast if largest < 256 else f"divide by {256 if largest < 65536 else largest:g} and {cast}"
    )


def from_tensor(batch: Tensor) -> list[np.ndarray]:
    """[B, C, H, W] or [C, H, W] float in 0..1 -> B images [H, W, 3] uint8 BGR.

    C is 3, RGB, or 1, grey.

    Raises UserError for another shape, type or range.
    """
    batch = batch.detach()
    if batch.ndim == 3:
        batch = batch[None]
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or not batch.numel():
        raise UserError(
            f"source: the tensor is {list(batch.shape)}, but [B, 3, H, W] or [3, H, W] is needed"
            + ("; use .permute(0, 3, 1, 2)" if batch.ndim == 4 and batch.shape[3] in (1, 3) else "")
        )
    if not batch.is_floating_point() or not 0 <= float(batch.min()) <= float(batch.max()) <= 1.001:
        raise UserError(
            f"source: the tensor is {batch.dtype}, {batch.min().item():g} to"
            f" {batch.max().item():g}, but floats in 0..1 are needed; divide by 255"
        )
    rounded = (batch.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [from_array(image, rgb=True) for image in rounded]
