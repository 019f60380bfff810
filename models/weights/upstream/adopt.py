"""Convert a checkpoint of YOLOv5, YOLOv8 or a fork of them into one of ours.

utils/pickles/reader.py has read the file without running anything in it. Here its network
becomes a tree (tree.py), the network's own YAML becomes our graph (graph.py), and every tensor must
have a place in our model of that graph (fit.py). A file of tensors alone has no graph; with_graph
adds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.attention import ATTENTION
from models.graph.read import read_graph
from models.graph.structure import Graph
from models.graph.values import shorten
from models.weights.upstream.area import convert_tree, join_qkv
from models.weights.upstream.blocks import REMEDY
from models.weights.upstream.fit import fit_state, in_our_form
from models.weights.upstream.graph import read_foreign_graph, without_one_to_one
from models.weights.upstream.recipe import read_recipe
from models.weights.upstream.rows import fit_graph
from models.weights.upstream.tree import Tree, class_name_of, members, plain_value, read_tree
from models.yolo import parse_model
from utils.checkpoint import Checkpoint, check_shared, check_values
from utils.errors import UserError
from utils.pickles.objects import PickledObject
from utils.pickles.reader import SavedFile

WRAPPERS = ("DataParallel", "DistributedDataParallel")


def adopt(foreign: SavedFile) -> Checkpoint:
    """Convert a checkpoint of another program: its averaged weights, if it has them, in our keys.

    A bare state dict gives a checkpoint without a graph. Raises UserError, naming file, row, key
    and value, for anything that our graph of it would not compute in the same way.
    """
    try:
        network = _find_network(foreign.content)
        if network is None:
            return Checkpoint({}, {}, _bare_state(foreign.content))
        tree = read_tree(network)
        convert_tree(tree)
        graph = read_foreign_graph(tree)
        checked = read_graph(graph)
        names = _read_names(network, checked.class_count)
        state = fit_state(checked, tree)
        check_values(state)
        if _is_fused(tree):
            print(
                f"note: {foreign.path}: was fused for inference: its batch norms are folded into"
                " its convolutions; boxes are the same, but training from it starts without the"
                " statistics that the model had"
            )
        config, hyp = read_recipe(foreign.content, network)
        return Checkpoint(graph, names, state, config=config, hyp=hyp)
    except UserError as error:
        raise UserError(f"{foreign.path}: {error}") from None


def _find_network(content: object) -> PickledObject | None:
    """The averaged network if there is one, else the plain one; None for a bare state dict."""
    if isinstance(content, dict):
        # Both programs evaluate the averaged network; stripped files have it under "model".
        found = [content.get(name) for name in ("ema", "model")]
        content = next((network for network in found if isinstance(network, PickledObject)), None)
    elif not isinstance(content, PickledObject):
        raise UserError(
            f"holds a {type(content).__name__}, where a model or its tensors are needed"
        )
    if isinstance(content, PickledObject) and class_name_of(content) in WRAPPERS:
        content = members(content, "_modules").get("module")
    return content if isinstance(content, PickledObject) else None


def _is_fused(tree: Tree) -> bool:
    """Whether a network has no batch norm behind a convolution, as after .fuse()."""
    return not any(key.endswith("bn.running_var") for key in tree.state)


def _bare_state(content: object) -> dict[str, Tensor]:
    """Copies of a state dict, at the top or one level below. Raises UserError for anything else."""
    content = content if isinstance(content, dict) else {}
    for values in (content, content.get("state_dict"), content.get("model")):
        if not isinstance(values, dict) or not values:
            continue
        if all(isinstance(value, Tensor) for value in values.values()):
            if not all(isinstance(key, str) for key in values):
                raise UserError("has tensors without names")
            check_shared(values)
            check_values(values)
            copies = {_unwrapped(key): value.clone() for key, value in values.items()}
            return join_qkv(without_one_to_one("the state dict", copies), {})
    raise UserError(
        "holds neither a model nor a state dict; give a checkpoint of YOLOv5, YOLOv8 or this"
        " project"
    )


def _unwrapped(key: str) -> str:
    """The key without the prefixes of wrappers, DataParallel and Ultralytics' YOLO."""
    key = key.removeprefix("module.")
    return key.removeprefix("model.") if key.startswith("model.model.") else key


def _read_names(network: PickledObject, class_count: int) -> dict[int, str]:
    """Class names by number. Raises UserError unless there is one for each class of the head."""
    names = plain_value(network.get("names")) or [str(number) for number in range(class_count)]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or set(names) != set(range(class_count)):
        raise UserError(
            f"names: {shorten(names)}: must be one for each of its {class_count} classes"
        )
    return {number: str(names[number]) for number in range(class_count)}


def with_graph(
    checkpoint: Checkpoint, graph: Mapping[str, object], where: str | Path
) -> Checkpoint:
    """Make a bare state dict a checkpoint of a graph; any other checkpoint is returned unchanged.

    Args:
        checkpoint: from read_weights(). Its keys may count all rows, as those of YOLOv5 and YOLOv8
            do, or not count attention, as ours do.
        graph: the graph's dictionary, as load_graph returns it.
        where: the file, for errors.

    Returns:
        The checkpoint with the graph, in our keys. Classes are named by their numbers.

    Raises:
        UserError: The state dict has no head of this graph.
    """
    if checkpoint.graph:
        return checkpoint
    checked = read_graph(graph)
    last = checked.rows[-1]
    keys = {str(row.index): row.key for row in checked.rows}
    rows = {key.split(".")[1] for key in checkpoint.state if key.startswith("model.")}
    state = checkpoint.state
    # In keys that count all rows, the last row's number occurs. In ours it occurs only for graphs
    # without attention, where both ways of counting agree.
    if str(last.index) in rows and all(row.isdigit() for row in rows):
        state = {_renamed(key, keys): value for key, value in state.items()}
    try:
        graph, state = fit_graph(graph, checked, state)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    fitted = read_graph(graph)
    last = fitted.rows[-1]
    with torch.device("meta"):
        skeleton, _ = parse_model(fitted, 0)
    expected = {f"model.{key}": value for key, value in skeleton.state_dict().items()}
    state = in_our_form(state, expected)
    _check_attention(where, fitted, expected, state)
    kernel = checked.family.class_kernel
    found = state.get(f"model.{last.key}.{kernel}")
    if found is None or found.dim() != 4:
        raise UserError(
            f"{where}: has no {kernel} in row {last.index}, so it is not a state dict of"
            f" {checked.file}"
        )
    count = found.shape[0] // checked.anchors_per_level - checked.family.class_offset
    names = {number: str(number) for number in range(count)}
    return replace(checkpoint, graph={**graph, "nc": count}, names=names, state=state)


def _check_attention(
    where: str | Path, graph: Graph, expected: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Raise UserError for a row that has other attention than our graph would have there."""
    for row in graph.rows:
        if row.inside is None and row.module not in ATTENTION:
            continue
        start = f"model.{row.key}."
        ours, theirs = (
            {key for key in keys if key.startswith(start)} for keys in (expected, state)
        )
        if ours - theirs and theirs - ours:
            key = min(theirs - ours).removeprefix(start)
            raise UserError(
                f"{where}: row {row.index}: {row.alias or row.module}: {shorten(key)} has no place"
                f" in this project's module of the name; {REMEDY}"
            )


def _renamed(key: str, rows: Mapping[str, str]) -> str:
    """A key that counts all rows as one of ours."""
    model, row, *rest = key.split(".")
    return ".".join([model, rows.get(row, row), *rest])
