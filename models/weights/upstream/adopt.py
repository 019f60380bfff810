"""A checkpoint of YOLOv5, YOLOv8 or a fork of theirs becomes one of ours: graph, names, weights,
recipe.

models/weights/pickles/reader.py has read it into Records without running anything. Here the
network's own YAML becomes our graph, what it does not say is taken from the instances (arguments of
attention, anchors, the head's form), and every tensor must then find its place: a key, shape or
setting that does not fit is an error that names it, never a weight left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.attention import ATTENTION
from models.common import Conv
from models.graph.layers import LAYERS
from models.graph.read import KEYS, MOST_CLASSES, read_graph
from models.graph.rows import MOST_ROWS
from models.graph.structure import Graph, Row
from models.graph.values import is_whole, shorten
from models.graph.walk import measure_strides
from models.weights.pickles.allowlist import Record
from models.weights.pickles.reader import Foreign
from models.weights.upstream import tree as upstream_tree
from models.weights.upstream.attention import read_arguments
from models.weights.upstream.recipe import read_recipe
from models.weights.upstream.tree import (
    Tree,
    activation_text,
    check_attributes,
    class_name,
    members,
    plain,
)
from models.yolo import parse_model
from utils.checkpoint import Checkpoint, check_shared
from utils.errors import UserError

UNUSED = ("anchor_grid",)  # entries of old heads that hold nothing of their own
WRAPPERS = ("DataParallel", "DistributedDataParallel")


def adopt(foreign: Foreign) -> Checkpoint:
    """The checkpoint as ours: the averaged weights if it has any, in our keys; a bare state dict
    has no graph then.

    Raises UserError, naming file, row, key and value, for anything that our graph of it does not
    compute alike.
    """
    try:
        root = _find_network(foreign.content)
        if root is None:
            return Checkpoint({}, {}, _bare_state(foreign.content))
        tree = upstream_tree.read_tree(root)
        rows = list(members(_rows_of(tree), "_modules").values())
        graph = _read_graph(root, rows, tree)
        names = _read_names(root, graph["nc"])
        state = _fit(read_graph(graph), rows, tree, root)
        config, hyp = read_recipe(foreign.content, root)
        return Checkpoint(graph, names, state, config=config, hyp=hyp)
    except UserError as error:
        raise UserError(f"{foreign.path}: {error}") from None


def _find_network(content: Any) -> Record | None:
    """The averaged network if it is there, else the plain one; None for a bare state dict."""
    if isinstance(content, dict):
        found = [content.get(name) for name in ("ema", "model")]
        content = next((network for network in found if isinstance(network, Record)), None)
    elif not isinstance(content, Record):
        raise UserError(
            f"holds a {type(content).__name__}, where a model or its tensors are needed"
        )
    if content is not None and class_name(content) in WRAPPERS:
        content = members(content, "_modules").get("module")
    return content if isinstance(content, Record) else None


def _bare_state(content: dict[Any, Any]) -> dict[str, Tensor]:
    """A state dict, at the top or one level below. Raises UserError for anything else."""
    for values in (content, content.get("state_dict"), content.get("model")):
        if (
            isinstance(values, dict)
            and values
            and all(isinstance(value, Tensor) for value in values.values())
        ):
            if not all(isinstance(key, str) for key in values):
                raise UserError("has tensors without names")
            check_shared(values)
            return {_inner(key): value.clone() for key, value in values.items()}
    raise UserError(
        "holds neither a model nor a state dict; give a checkpoint of YOLOv5, YOLOv8 or this"
        " project"
    )


def _inner(key: str) -> str:
    """The key without what wrappers put before it: DataParallel, and Ultralytics' YOLO around its
    network.
    """
    key = key.removeprefix("module.")
    return key.removeprefix("model.") if key.startswith("model.model.") else key


def _rows_of(tree: Tree) -> Record:
    rows = tree.modules.get("model")
    if rows is None or class_name(rows) != "Sequential" or not members(rows, "_modules"):
        raise UserError(
            f"its {shorten(tree.modules[''].kind)} has no rows `model`, as YOLO's detectors have"
        )
    if list(members(rows, "_modules")) != [
        str(number) for number in range(len(members(rows, "_modules")))
    ]:
        raise UserError("its rows `model` are not numbered from 0 on")
    return rows


def _read_graph(root: Record, rows: list[Any], tree: Tree) -> dict[str, Any]:
    """The graph in our form, from the network's `yaml` and its instances."""
    written = plain(root.get("yaml"))
    if not isinstance(written, dict) or not all(
        isinstance(written.get(part), list) for part in ("backbone", "head")
    ):
        raise UserError(
            "its model has no `yaml` with backbone and head, so its graph is not known; "
            "save its state dict, and give the graph by --cfg"
        )
    graph = {key: value for key, value in written.items() if key in KEYS and value is not None}
    graph["ch"] = written.get("ch") or written.get("channels") or 3
    graph["yaml_file"] = str(written.get("yaml_file") or "its graph")[-100:]
    both = [*graph["backbone"], *graph["head"]]
    if len(both) != len(rows) or len(rows) > 2 * MOST_ROWS:
        raise UserError(f"its graph has {len(both)} rows, but its model {len(rows)}")
    named = [
        _read_row(number, *pair, tree) for number, pair in enumerate(zip(both, rows, strict=True))
    ]
    graph["backbone"], graph["head"] = (
        named[: len(graph["backbone"])],
        named[len(graph["backbone"]) :],
    )
    return {**graph, **_read_head(rows[-1], named, tree), **_activation(rows)}


def _read_row(number: int, row: Any, record: Any, tree: Tree) -> Any:
    """A row of the YAML with our name of its module; attention's arguments from its instance."""
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[2], str):
        return row  # reading the graph names what is wrong
    state = tree.of_row(number)
    if class_name(record) == "Sequential":  # a row repeated
        record = members(record, "_modules").get("0")
        state = {
            key.removeprefix("0."): value for key, value in state.items() if key.startswith("0.")
        }
    kind = class_name(record)
    if kind in ATTENTION or row[2] in ATTENTION:
        name = ATTENTION[kind if kind in ATTENTION else row[2]].__name__
        return [row[0], row[1], name, read_arguments(name, record, state, row[3])]
    if row[2].removeprefix("torch.") not in LAYERS:
        raise UserError(
            f"row {number}: {shorten(row[2])} ({shorten(getattr(record, 'kind', record))}): is no"
            " module of this project; add it as CONTRIBUTING.md shows, or take a graph without it"
        )
    if kind != row[2].rpartition(".")[2]:
        raise UserError(
            f"row {number}: {shorten(row[2])}: but the model has {shorten(kind or record)} there"
        )
    return row


def _read_head(head: Any, named: list[Any], tree: Tree) -> dict[str, Any]:
    """What the graph says of its head, as the weights have it.

    Also sets the last row's own arguments.
    """
    number, row = len(named) - 1, named[-1]
    where = f"row {number}: {class_name(head)}"
    class_count: Any = head.get("nc") if isinstance(head, Record) else None
    if (
        class_name(head) != "Detect"
        or not is_whole(class_count)
        or not 1 <= class_count <= MOST_CLASSES
    ):
        raise UserError(f"{where}: is no head of a detector, which is all that this project has")
    state = tree.of_row(number)
    anchors = state.get("anchors")
    if anchors is not None:
        row[3] = ["nc", "anchors"]
        strides = _strides(head, where)
        if (
            anchors.dim() != 3
            or anchors.shape[0] != len(strides)
            or anchors.shape[2] != 2
            or anchors.numel() > 10_000
        ):
            raise UserError(f"{where}: anchors {list(anchors.shape)}: must be [levels, anchors, 2]")
        pixels = anchors.double() * torch.tensor(strides, dtype=torch.float64).view(-1, 1, 1)
        return {"nc": class_count, "anchors": [level.flatten().tolist() for level in pixels]}
    row[3] = ["nc"]
    return {
        "nc": class_count,
        **_branches(where, state, class_count, any(one[2] == "C3k2" for one in named)),
    }


def _branches(
    where: str, state: dict[str, Tensor], class_count: int, usually_deep: bool
) -> dict[str, Any]:
    """Bins of a v8 head, and its class branch where it is not what its graph says: files differ."""
    deep = "cv3.0.0.0.conv.weight" in state
    keys = (
        "dfl.conv.weight",
        "cv3.0.2.weight",
        "cv3.0.0.1.conv.weight" if deep else "cv3.0.0.conv.weight",
    )
    if any(key not in state or state[key].dim() != 4 for key in keys):
        raise UserError(
            f"{where}: has neither anchors nor the branches cv2 and cv3 and dfl, so it is another"
            " head"
        )
    bins, width, incoming = (state[key].shape[1] for key in keys)
    branch = {} if deep == usually_deep else {"class_branch": "depthwise" if deep else "dense"}
    usual = max(incoming, min(class_count, 100))
    return {"reg_max": bins, **branch, **({} if width == usual else {"class_width": width})}


def _strides(holder: Record, where: str) -> list[float]:
    strides = holder.get("stride")
    if not isinstance(strides, Tensor) or strides.dim() != 1 or not 1 <= strides.numel() <= 20:
        raise UserError(f"{where}: has no strides, so the unit of its anchors is not known")
    return strides.double().tolist()


def _activation(rows: Iterable[Any]) -> dict[str, str]:
    """The activation of the graph's Conv blocks, which must be one, if it is not the usual."""
    first = next((row for row in rows if class_name(row) == "Conv"), None)
    found = members(first, "_modules").get("act") if first is not None else None
    text = activation_text(found) if found is not None else "nn.SiLU()"
    return {} if text == "nn.SiLU()" else {"activation": text}


def _read_names(root: Record, class_count: int) -> dict[int, str]:
    """Class names by number, as many as the head has classes."""
    names = plain(root.get("names")) or [str(number) for number in range(class_count)]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or set(names) != set(range(class_count)):
        raise UserError(
            f"names: {shorten(names)}: must be one for each of its {class_count} classes"
        )
    return {number: str(names[number]) for number in range(class_count)}


def _fit(graph: Graph, rows: list[Any], tree: Tree, root: Record) -> dict[str, Tensor]:
    """All tensors under our keys.

    Raises UserError for each key, shape, setting or stride that is not ours.
    """
    with torch.device("meta"):
        skeleton, _ = parse_model(graph, 0)
    strides, where = measure_strides(skeleton, graph).strides, f"row {len(rows) - 1}"
    found = _strides(root if isinstance(root.get("stride"), Tensor) else rows[-1], where)
    if found != strides:
        raise UserError(f"{where}: strides {shorten(found)}: but its graph has {shorten(strides)}")
    state: dict[str, Tensor] = {}
    for row, ours in zip(graph.rows, skeleton, strict=True):
        state |= _fit_row(row, ours, tree)
        for path, module in ours.named_modules():
            theirs = tree.modules.get(f"model.{row.index}.{path}" if path else f"model.{row.index}")
            if theirs is not None:
                check_attributes(
                    f"row {row.index}: {row.module}{'.' * bool(path)}{path}", module, theirs
                )
                _check_activation(row, graph, module, theirs)
    strange = [key for key in tree.state if not key.startswith("model.")]
    if strange:
        raise UserError(
            f"{shorten(strange[0])} {list(tree.state[strange[0]].shape)}: belongs to no row"
        )
    return state


def _fit_row(row: Row, ours: nn.Module, tree: Tree) -> dict[str, Tensor]:
    """One row's tensors, each compared with ours."""
    where = f"row {row.index}: {row.module}"
    theirs = {key: value for key, value in tree.of_row(row.index).items() if key not in UNUSED}
    expected = ours.state_dict()
    for key, value in expected.items():
        if key not in theirs:
            raise UserError(
                f"{where}: {key} {list(value.shape)}: is not in the file, so it is another"
                f" {row.module}"
            )
        if theirs[key].shape != value.shape:
            raise UserError(
                f"{where}: {key} {list(theirs[key].shape)}: but the graph makes it"
                f" {list(value.shape)}"
            )
        if theirs[key].is_floating_point() != value.is_floating_point():
            raise UserError(
                f"{where}: {key}: is {theirs[key].dtype}, where {value.dtype} is needed"
            )
    for key, value in theirs.items():
        if key not in expected:
            raise UserError(
                f"{where}: {shorten(key)} {list(value.shape)}: has no place in this project's"
                f" {row.module}"
            )
    return {f"model.{row.key}.{key}": theirs[key].clone() for key in expected}


def _check_activation(row: Row, graph: Graph, ours: nn.Module, theirs: Record) -> None:
    if isinstance(ours, Conv) and ours.own_activation:
        found, expected = (
            activation_text(members(theirs, "_modules").get("act")),
            graph.activation or "nn.SiLU()",
        )
        if found != expected:
            raise UserError(
                f"row {row.index}: {row.module}: has {found}, where the first Conv has {expected}; "
                "this project's graphs have one activation"
            )


def with_graph(checkpoint: Checkpoint, graph: Mapping[str, Any], where: str | Path) -> Checkpoint:
    """A bare state dict as a checkpoint of the given graph, its keys in our form; any other
    checkpoint as it is.

    Keys may count all rows, as YOLOv5's and YOLOv8's do, or base rows only, as ours. where: the
    file, for errors.
    """
    if checkpoint.graph:
        return checkpoint
    checked = read_graph(graph)
    last = checked.rows[-1]
    keys = {str(row.index): row.key for row in checked.rows}
    rows = {key.split(".")[1] for key in checkpoint.state if key.startswith("model.")}
    state = checkpoint.state
    if str(last.index) in rows and all(row.isdigit() for row in rows):
        state = {_renamed(key, keys): value for key, value in state.items()}
    kernel = checked.family.class_kernel
    found = state.get(f"model.{last.key}.{kernel}")
    if found is None or found.dim() != 4:
        raise UserError(
            f"{where}: has no {kernel} in row {last.index}, so it is no state dict of"
            f" {checked.file}"
        )
    count = found.shape[0] // checked.anchors_per_level - checked.family.class_offset
    names = {number: str(number) for number in range(count)}
    return replace(checkpoint, graph={**graph, "nc": count}, names=names, state=state)


def _renamed(key: str, rows: Mapping[str, str]) -> str:
    model, row, *rest = key.split(".")
    return ".".join([model, rows.get(row, row), *rest])
