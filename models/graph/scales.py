"""The scales of a graph: find the file and the entry of its `scales` that a name stands for.

The rules are YOLOv8's. A letter right after the version number is the scale, and one file without
the letter serves all scales: yolov8s_SimAM.yaml is yolov8_SimAM.yaml at scale s.
models/graph/read.py asks here for depth, width and the limit of channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.graph.values import MOST, GraphDict, Values, as_number, is_number, is_whole, shorten
from utils.errors import UserError
from utils.files import find_file

# Such as yolov8, yolo11 or yoloe-11; the scale's letter may follow.
MODEL_VERSION = re.compile(r"yolo(?:e-)?v?\d+")
LETTER = re.compile(rf"({MODEL_VERSION.pattern})([nslmx])")
MOST_FACTOR = 100  # of depth or width
MULTIPLES = ("depth_multiple", "width_multiple")


@dataclass(frozen=True, slots=True)
class Scale:
    """The depth and width factors in force.

    Attributes:
        name: key of the scale in `scales`, "" for a graph that has none.
        depth: factor of the repeats.
        width: factor of the channels.
        max_channels: the most channels of a row, before the factor.
        warnings: suspicious things about the choice of the scale.
    """

    name: str
    depth: float
    width: float
    max_channels: int = MOST
    warnings: tuple[str, ...] = ()


def guess_scale(path: str | Path) -> str:
    """The scale that a file's name asks for: s for yolov8s-p2.yaml, "" for yolov8_s.yaml."""
    found = LETTER.search(Path(path).stem)
    return found[2] if found else ""


def find_graph(path: str | Path) -> Path:
    """The file of a graph, looked for in the working directory, the root and models/.

    If it does not exist, the file without the scale's letter is taken: yolov8 for yolov8s. Raises
    UserError if neither exists.
    """
    try:
        return find_file(path, "models")
    except UserError:
        name = Path(path).name
        shared = LETTER.sub(r"\1", name, count=1)
        if shared == name:
            raise
        try:
            return find_file(Path(path).with_name(shared), "models")
        except UserError:
            pass
        # The first error is raised, since it names the file that the user asked for.
        raise


def choose_scale(content: Mapping[str, object], asked: str, path: str | Path) -> GraphDict:
    """Set the scale of a graph.

    Args:
        content: the graph as read from its file; it is not changed.
        asked: the scale that the user asked for, "" for none.
        path: of the file as the user named it, whose letter counts if no scale was asked for.

    Returns:
        The graph with its key `scale` set. If neither names a scale, read_scale chooses one later.

    Raises:
        UserError: A scale was asked for and the graph has none to choose from.
    """
    if not has_scales(content):
        if asked:
            raise UserError(
                f"--scale {asked}: {content['yaml_file']} has no `scales` to choose from; leave"
                " it out"
            )
        return dict(content)
    scale = asked or guess_scale(path)
    return {**content, "scale": scale} if scale else dict(content)


def has_scales(content: Mapping[str, object]) -> bool:
    """Whether a graph has `scales`. Some files keep the key without a value beside
    depth_multiple and width_multiple, which count then.
    """
    if content.get("scales") in (None, {}, []):
        return "scales" in content and not any(key in content for key in MULTIPLES)
    return True


def read_scale(file: str, content: Mapping[str, object]) -> Scale:
    """The depth and width factors of a graph.

    Where there are `scales`, depth_multiple and width_multiple do nothing, as in YOLOv8. Raises
    UserError for malformed factors and for a scale that does not exist.
    """
    if not has_scales(content):
        depth, width = (Values(file, content).real(key, MOST_FACTOR, 1.0) for key in MULTIPLES)
        return Scale("", depth, width)
    scales = content["scales"]
    if (
        not isinstance(scales, dict)
        or not scales
        or not all(isinstance(name, str) for name in scales)
    ):
        remedy = "must be indented lines `n: [depth, width, max_channels]`, one for each scale"
        raise UserError(f"{file}: scales: {shorten(scales)}: {remedy}")
    warnings = [
        f"{file}: {key}: does nothing next to scales; take it out"
        for key in MULTIPLES
        if key in content
    ]
    name, known = content.get("scale"), shorten(", ".join(scales))
    if name in (None, ""):
        name = next(iter(scales))
        warnings += [
            f"{file}: scales: no scale was chosen, so {name} is used, the first; choose one of"
            f" {known} with --scale"
        ]
    if not isinstance(name, str) or name not in scales:
        raise UserError(
            f"{file}: scale: {shorten(name)}: is not among scales; choose one of"
            f" {known} with --scale"
        )
    return _read_factors(file, name, scales[name], tuple(warnings))


def _read_factors(file: str, name: str, values: object, warnings: tuple[str, ...]) -> Scale:
    parts = [as_number(value) for value in values] if isinstance(values, list) else []
    if len(parts) == 3:
        depth, width, most = parts
        if (
            is_number(depth)
            and is_number(width)
            and is_whole(most)
            and 0 < depth <= MOST_FACTOR
            and 0 < width <= MOST_FACTOR
            and 0 < most <= MOST
        ):
            return Scale(name, float(depth), float(width), most, warnings)
    remedy = (
        f"must be [depth, width, max_channels]: two factors up to {MOST_FACTOR}, a whole number up"
        f" to {MOST}"
    )
    raise UserError(f"{file}: scales: {shorten(name)}: {shorten(values)}: {remedy}")


def title(stem: str, scale: str) -> str:
    """A graph's name with its scale, YOLOv8n_SimAM for yolov8_SimAM at n.

    stem is the file's name without suffix; a scale that is part of it stays. scale is "" for a
    graph without scales.
    """
    if scale and not LETTER.search(stem):
        named = MODEL_VERSION.sub(rf"\g<0>{scale}", stem, count=1)
        stem = named if named != stem else f"{stem} {scale}"
    return stem.replace("yolo", "YOLO")
