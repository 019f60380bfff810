"""Load the dictionary of a graph from its YAML file.

A name such as yolov5m_CPCA.yaml needs no file: if there is none, and yolov5m.yaml and the attention
module CPCA exist, it stands for that graph with the module in its neck.
"""

from __future__ import annotations

import re
from pathlib import Path

from models.attention import ATTENTION
from models.graph.constants import insert_constants
from models.graph.read import KEYS
from models.graph.scales import choose_scale, find_graph
from models.graph.sites import insert
from models.graph.values import GraphDict
from models.own.registry import say
from utils.errors import UserError
from utils.files import ROOT
from utils.yaml_file import YamlFile, read_yaml


def load_graph(path: str | Path, scale: str = "") -> GraphDict:
    """Read a graph's YAML file.

    Args:
        path: of the file, looked for below models/ too. yolov8s_X.yaml may stand for a file
            yolov8_X.yaml at scale s, and for yolov8.yaml at scale s with the attention X in its
            neck.
        scale: the entry of the graph's `scales` to use; "" takes the one in the file's name.

    Returns:
        The dictionary, whose `yaml_file` is the name that errors give.

    Raises:
        UserError: The file is missing, is not a YAML mapping, or has no scales to choose from.
    """
    try:
        file = find_graph(path).resolve()
    except UserError:
        base = split_name(path)
        if base is None:
            raise
        file, module = base
        say(f"note: {path} has no file of its own; it is {file.name} with {module}@neck")
        return insert(_read(file, scale, path), f"{module}@neck")
    return _read(file, scale, path)


def _read(file: Path, scale: str, path: str | Path) -> GraphDict:
    name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    found = read_yaml(file)
    for sentence in _doubled_in(file, found):
        say(f"warning: {sentence}")
    content = insert_constants(_with_short_channels(str(name), found.content), KEYS)
    return choose_scale({**content, "yaml_file": str(name)}, scale, path)


def doubled_notes(path: str | Path) -> list[str]:
    """A sentence for each key that stands in a graph's file twice, with values that differ.

    Files that cannot be read have none.
    """
    try:
        file = find_graph(path).resolve()
        return _doubled_in(file, read_yaml(file))
    except UserError:
        return []


def _doubled_in(file: Path, found: YamlFile) -> list[str]:
    name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    # Shared files have such keys, and what they were trained with elsewhere is the second one.
    return [
        f"{name}: {key}, with values that differ; the second one counts"
        for key in found.doubled
        if not key.agree
    ]


def _with_short_channels(name: str, content: GraphDict) -> GraphDict:
    """The content with `ch`, as YOLOv5 calls it, in place of Ultralytics' `channels`."""
    if "channels" not in content:
        return content
    short = {"ch" if key == "channels" else key: value for key, value in content.items()}
    if content.get("ch", content["channels"]) != content["channels"]:
        raise UserError(f"{name}: ch and channels: differ, but mean the same; remove one of them")
    return short


def split_name(path: str | Path) -> tuple[Path, str] | None:
    """The base graph's file and the attention module that a name is made of.

    Returns None if there is no such graph or no such module.
    """
    stem = Path(path).stem  # such as yolov5m_CPCA or yolov8m-p6_GAM_Attention
    for separator in re.finditer("[_-]", stem):
        module = _module_named(stem[separator.end() :])
        try:
            if module:
                base = find_graph(Path(path).with_name(f"{stem[: separator.start()]}.yaml"))
                return base.resolve(), module
        except UserError:  # another separator may fit
            continue
    return None


def _module_named(text: str) -> str:
    """The attention module of this name, in capitals or not; "" if there is none."""
    if text in ATTENTION:
        return text
    same = [name for name in ATTENTION if name.lower() == text.lower()]
    return same[0] if len({ATTENTION[name] for name in same}) == 1 else ""
