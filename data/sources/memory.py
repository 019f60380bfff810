"""Images that are in memory already, and lists of all sorts, as a source of Frames beside
data/sources/open.py.

From: what people pass to api/ and hubconf.py: paths, Pillow images, arrays, tensors. To:
engine/inference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from data.sources.names import result_names
from data.sources.open import FileSource, Source, expand, open_source
from utils.errors import UserError
from utils.structures import Frame


@dataclass
class MixedSource:
    """Paths and images [H, W, 3] uint8 BGR side by side, in order."""

    parts: Sequence[str | np.ndarray]
    vid_stride: int = 1
    warn: Callable[[str], None] = print
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def items(self) -> int:
        return len(self.parts)

    def close(self) -> None:
        """Nothing stays open between frames."""

    def __iter__(self) -> Iterator[Frame]:
        paths = [
            part if isinstance(part, str) else f"image{number}.jpg"
            for number, part in enumerate(self.parts)
        ]
        for number, (part, path, name) in enumerate(
            zip(self.parts, paths, result_names(paths), strict=True), 1
        ):
            place: dict[str, Any] = {"name": name, "item": number, "items": self.items}
            if isinstance(part, str):
                file = FileSource([part], self.vid_stride, self.warn, self.skipped)
                yield from (replace(frame, **place) for frame in file)
            else:
                yield Frame(part, path, **place)


def open_any(source: Any, vid_stride: int = 1, rgb: bool = False) -> Source:
    """Frames of a path, camera number, URL (as data.sources.open.open_source), image, tensor, or
    a list of such.

    rgb: arrays are RGB instead of BGR. Pillow images and tensors (float, 0..1) are RGB always.
    Raises UserError for what is none of these.
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


def pixels_of(picture: Any, rgb: bool = False) -> list[np.ndarray]:
    """The images [H, W, 3] uint8 BGR of a Pillow image, an array, or a tensor, which may be a
    batch.
    """
    if isinstance(picture, Tensor):
        return from_tensor(picture)
    if isinstance(picture, np.ndarray):
        return [from_array(picture, rgb)]
    if hasattr(picture, "convert") and hasattr(
        picture, "getexif"
    ):  # Pillow's, without importing it
        from PIL import ImageOps

        if picture.mode.startswith("I;16"):  # convert() would make white of all above 255
            return [
                from_array((np.asarray(ImageOps.exif_transpose(picture)) >> 8).astype(np.uint8))
            ]
        if picture.mode in ("I", "F"):
            raise UserError(
                f"source: the Pillow image has mode {picture.mode}, whose range is not known;"
                " scale to 0..255 and .convert('L')"
            )
        return [
            np.ascontiguousarray(
                np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))[..., ::-1]
            )
        ]
    kind = type(picture).__name__
    raise UserError(
        f"source: {kind} is no image; give a path, a Pillow image, an array [H, W, 3] or a tensor"
    )


def from_array(picture: np.ndarray, rgb: bool = False) -> np.ndarray:
    """[H, W], [H, W, 1, 3 or 4] or [3, H, W] uint8 -> [H, W, 3] uint8 BGR; an alpha channel is left
    away.
    """
    if picture.dtype != np.uint8:
        remedy = (
            "multiply by 255 and use .astype('uint8')"
            if picture.dtype.kind == "f"
            else "use .astype('uint8')"
        )
        raise UserError(
            f"source: the array is {picture.dtype}, but uint8 0..255 is needed; {remedy}"
        )
    if picture.ndim == 3 and picture.shape[2] not in (1, 3, 4) and picture.shape[0] in (1, 3):
        picture = picture.transpose(1, 2, 0)
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size:
        raise UserError(
            f"source: the array is {list(picture.shape)}, but [H, W, 3] is needed; pass batches as"
            " a list"
        )
    colours = np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture[..., :3]
    return np.ascontiguousarray(colours[..., ::-1] if rgb else colours)


def from_tensor(batch: Tensor) -> list[np.ndarray]:
    """[B, 3, H, W] or [3, H, W] float RGB in 0..1 -> images [H, W, 3] uint8 BGR, values rounded
    to 1/255.
    """
    if batch.ndim == 3:
        batch = batch[None]
    if batch.ndim != 4 or batch.shape[1] != 3 or not batch.numel():
        raise UserError(
            f"source: the tensor is {list(batch.shape)}, but [B, 3, H, W] or [3, H, W] is needed"
        )
    if not batch.is_floating_point() or not 0 <= float(batch.min()) <= float(batch.max()) <= 1.001:
        raise UserError(
            f"source: the tensor is {batch.dtype}, {batch.min().item():g} to"
            f" {batch.max().item():g}, but floats in 0..1 are needed; divide by 255"
        )
    rounded = (
        (batch.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    )
    return [np.ascontiguousarray(image[..., ::-1]) for image in rounded]
