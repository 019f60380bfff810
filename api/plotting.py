"""Results.plot() with the arguments that Ultralytics' users know."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from api.keywords import KeywordError
from engine.drawing.draw import draw_boxes
from engine.inference.console import Found
from engine.inference.writers import class_name
from utils.text import shown

if TYPE_CHECKING:
    from PIL import Image

COLOR_MODES = ("class", "instance")


@dataclass(frozen=True)
class PlotOptions:
    """The arguments of plot(), in Ultralytics' order.

    Attributes:
        conf: whether labels include the confidence.
        line_width: width of lines in pixels; None chooses it by the size of the image.
        font_size: height of the text in pixels; None chooses it by the line width.
        font: ignored; a font that has the signs of the class names is chosen.
        pil: whether to return a Pillow image (RGB) instead of an array.
        img: [H, W, 3] uint8 BGR, the picture to draw into a copy of; None for the original one.
        labels: whether boxes have labels.
        boxes: whether to draw anything at all.
        show: whether to show the picture in a window too.
        save: whether to write it to `filename` too.
        filename: where save writes to.
        color_mode: "class" for a colour per class, "instance" for one per box.
        kpt_radius, kpt_line, masks, probs, txt_color, im_gpu: ignored; there are no masks, key
            points or probabilities here, and the text has the colour that is legible on its plate.
    """

    conf: bool = True
    line_width: float | None = None
    font_size: float | None = None
    font: str = ""
    pil: bool = False
    img: np.ndarray | None = None
    kpt_radius: int = 5
    kpt_line: bool = True
    labels: bool = True
    boxes: bool = True
    masks: bool = True
    probs: bool = True
    show: bool = False
    save: bool = False
    filename: str | None = None
    color_mode: str = "class"
    txt_color: object = None
    im_gpu: object = None

    def __post_init__(self) -> None:
        if self.color_mode not in COLOR_MODES:
            raise KeywordError(
                f"plot: color_mode={shown(self.color_mode)}: must be one of"
                f" {', '.join(COLOR_MODES)}"
            )


def plot_options(*arguments: Any, **options: Any) -> PlotOptions:
    """The arguments of a call of plot(). Raises KeywordError for an unknown one."""
    known = [field.name for field in fields(PlotOptions)]
    for name in options:
        if name not in known:
            raise KeywordError(f"plot: {name}: no such keyword; known are {', '.join(known)}")
    return PlotOptions(*arguments, **options)


def plot_found(found: Found, options: PlotOptions) -> np.ndarray:
    """Draw what was found into a copy of the frame or of options.img.

    Returns [H, W, 3] uint8 BGR. Raises KeywordError if options.img has another size.
    """
    image, result = found.frame.image, found.detections
    if options.img is not None:
        image = np.asarray(options.img)
        if image.shape != found.frame.image.shape or image.dtype != np.uint8:
            raise KeywordError(
                f"plot: img is {list(image.shape)} {image.dtype}, but the boxes are in pixels of"
                f" {list(found.frame.image.shape)} uint8; give a picture of that size"
            )
    if not options.boxes:
        return image.copy()
    classes = result.classes.tolist()
    texts = [
        class_name(result, one) + (f" {score:.2f}" if options.conf else "")
        for one, score in zip(classes, result.scores.tolist(), strict=True)
    ]
    return draw_boxes(
        image,
        result.boxes.numpy(),
        texts if options.labels else [""] * len(texts),
        list(range(len(classes))) if options.color_mode == "instance" else classes,
        max(1, round(options.line_width)) if options.line_width else None,
        options.font_size or 0.0,
    )


def to_pillow(image: np.ndarray) -> Image.Image:
    """[H, W, 3] uint8 BGR as a Pillow image in RGB."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
