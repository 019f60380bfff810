"""Build our graph of a foreign network, from its own YAML and from its modules.

The YAML has the order of the blocks. The arguments of attention, the anchors, the form of the head
and the activation are taken from the modules. models/weights/upstream/adopt.py calls
read_foreign_graph().
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.graph.layers import layer_named
from models.graph.read import KEYS, MOST_CLASSES
from models.graph.values import is_whole, shorten
from models.own.registry import own_named
from models.weights.upstream.attention import read_arguments
from models.weights.upstream.blocks import REMEDY, recognise_block
from models.weights.upstream.identify import identify
from models.weights.upstream.plain import ForeignRow
from models.weights.upstream.rows import UNKNOWN_MODULE, attention_of, under
from models.weights.upstream.tree import (
    Tree,
    activation_text,
    class_name_of,
    members,
    plain_value,
)
from utils.errors import UserError
from utils.pickles.objects import PickledObject

HEAD_CLASSES = ("Detect", "v10Detect")
MAX_ANCHOR_VALUES = 10_000
MAX_LEVELS = 20
MAX_ROWS = 300  # of a model; those that are known have less than 100, and each takes milliseconds
MAX_FILE_NAME = 100  # characters of the graph's name in errors
Content = dict[str, object]


def read_foreign_graph(tree: Tree) -> Content:
    """The graph's dictionary, as load_graph would return it.

    Raises UserError, naming row and value, for anything that this project's graphs do not have.
    """
    rows, written = tree.rows(), _written_graph(tree.root)
    backbone, head = written["backbone"], written["head"]
    assert isinstance(backbone, list)
    assert isinstance(head, list)
    graph = {key: value for key, value in written.items() if key in KEYS and value is not None}
    graph["ch"] = written.get("ch") or written.get("channels") or 3
    graph["yaml_file"] = str(written.get("yaml_file") or "its graph")[-MAX_FILE_NAME:]
    both = [*backbone, *head]
    if len(both) != len(rows) or len(rows) > MAX_ROWS:
        raise UserError(
            f"its graph has {len(both)} rows and its model {len(rows)}; they must be as many, and"
            f" at most {MAX_ROWS}"
        )
    pairs = enumerate(zip(both, rows, strict=True))
    named = [_read_row(number, row, module, tree) for number, (row, module) in pairs]
    last = _read_head(rows[-1], named, tree)
    graph["backbone"], graph["head"] = named[: len(backbone)], named[len(backbone) :]
    return {**graph, **last, **_activation(rows)}


def _written_graph(network: PickledObject) -> Content:
    """The network's own YAML, in which backbone and head are lists."""
    written = plain_value(network.get("yaml"))
    parts = ("backbone", "head")
    if isinstance(written, dict) and all(isinstance(written.get(part), list) for part in parts):
        return written
    raise UserError(
        "its model has no `yaml` with backbone and head, so its graph is not known; "
        "save its state dict, and give the graph by --cfg"
    )


def _read_row(number: int, row: object, module: object, tree: Tree) -> object:
    """A row of the YAML under our name of its module, attention with the instance's arguments."""
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[2], str):
        return row  # reading the graph will report it
    if own_named(row[2]):  # its class is the fork's, so the row means here what it means there
        return row
    inner, prefix = module, ""
    if isinstance(module, PickledObject) and class_name_of(module) == "Sequential":  # repeated
        inner, prefix = members(module, "_modules").get("0"), "0."
    kind = class_name_of(inner)
    name, given = attention_of(tree, number, prefix, (kind, row[2]))
    block = None if name else _read_block(tree, number, row, inner)
    if block:
        return block
    if isinstance(inner, PickledObject):
        state = under(tree.of_row(number), prefix)
        if not name and layer_named(row[2]) is None:
            known = identify(state, (), 0, inner, tree.trials)
            name = known.name if known else ""
        if name:
            found = read_arguments(name, inner, state, row[3])
            return [row[0], row[1], name, {**found, **given} if isinstance(found, dict) else found]
    if not name and layer_named(row[2]) is None:
        whole = inner.kind if isinstance(inner, PickledObject) else inner
        raise UserError(
            f"row {number}: {shorten(row[2])} ({shorten(whole)}): {UNKNOWN_MODULE}; {REMEDY}"
        )
    if kind != row[2].rpartition(".")[2]:
        raise UserError(
            f"row {number}: {shorten(row[2])}: but the model has {shorten(kind or inner)} there"
        )
    if kind == "SPPF" and isinstance(inner, PickledObject) and isinstance(row[3], list):
        return [*row[:3], _sppf_arguments(inner, row[3])]
    return row


def _read_block(tree: Tree, number: int, row: list[Any], module: object) -> list[object] | None:
    """A row that is a block with attention inside it, or None; its tensors get our keys.

    The module is that of the row or, if it is repeated, of its first copy.
    """
    if not isinstance(module, PickledObject) or not isinstance(row[3], list):
        return None
    start = f"model.{number}"
    foreign = ForeignRow(
        where=f"row {number}: {shorten(row[2])}",
        classes=(class_name_of(module), row[2]),
        written=row[3],
        state=tree.of_row(number),
        module_at=lambda path: tree.modules.get(f"{start}.{path}" if path else start),
        trials=tree.trials,
    )
    found = recognise_block(foreign)
    if found is None:
        return None
    tree.rename(number, found.state, found.paths)
    *own, attention = found.arguments
    own = _sppf_arguments(module, own) if found.base == "SPPF" else own
    return [row[0], row[1], found.base, [*own, attention]]


def _sppf_arguments(module: PickledObject, written: list[object]) -> list[object]:
    """Arguments of SPPF, with the activation of its first convolution where they do not imply it.

    Releases of Ultralytics differ in whether there is one for the same row.
    """
    first = members(module, "_modules").get("cv1")
    act = members(first, "_modules").get("act") if isinstance(first, PickledObject) else None
    is_linear, states_pools = class_name_of(act) == "Identity", len(written) > 2
    if act is None or is_linear == states_pools or not written:
        return written
    usual = [5, 3, False]
    return [*written, *usual[len(written) - 1 :], not is_linear]


def _read_head(head: object, named: list[object], tree: Tree) -> Content:
    """The graph's entries about its head, from the head's weights.

    named has all rows; the arguments of the last one are replaced in place.
    """
    number, row = len(named) - 1, named[-1]
    where = f"row {number}: {class_name_of(head)}"
    count = head.get("nc") if isinstance(head, PickledObject) else None
    if not isinstance(head, PickledObject) or class_name_of(head) not in HEAD_CLASSES:
        raise UserError(f"{where}: is not the head of a detector, the only one of this project")
    if not is_whole(count) or not 1 <= count <= MOST_CLASSES:
        raise UserError(f"{where}: nc: {shorten(count)}: is not a number of classes")
    state = without_one_to_one(where, tree.of_row(number))
    tree.rename(number, state, {})
    anchors = state.get("anchors")
    if isinstance(row, list) and len(row) == 4:
        row[3] = ["nc"] if anchors is None else ["nc", "anchors"]
    if anchors is not None:
        return {"nc": count, "anchors": _anchors_px(anchors, strides_of(head, where), where)}
    has_c3k2 = any(isinstance(one, list) and "C3k2" in one[2:3] for one in named)
    return {"nc": count, **_branches(where, state, count, has_c3k2)}


def without_one_to_one(where: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without those of a head's one-to-one branches; a line says what was left out.

    Such a head is trained to need no suppression. Its other branches, one-to-many, are ours.
    """
    kept = {key: value for key, value in state.items() if "one2one_" not in key}
    if len(kept) < len(state):
        print(f"warning: {where}: its one-to-one branches are left out; boxes need suppression")
    return kept


def _anchors_px(anchors: Tensor, strides: list[float], where: str) -> list[list[float]]:
    """Anchors in pixels, for each level w, h, w, h, …; the file has them in cells of its levels."""
    is_usual = anchors.dim() == 3 and anchors.shape[0] == len(strides) and anchors.shape[2] == 2
    if not is_usual or anchors.numel() > MAX_ANCHOR_VALUES:
        raise UserError(f"{where}: anchors {list(anchors.shape)}: must be [levels, anchors, 2]")
    pixels = anchors.double() * torch.tensor(strides, dtype=torch.float64).view(-1, 1, 1)
    return [level.flatten().tolist() for level in pixels]


def _branches(where: str, state: dict[str, Tensor], class_count: int, has_c3k2: bool) -> Content:
    """Bins of a v8 head, and its class branch where it differs from YOLOv8's rule.

    By that rule the branch is depth-wise if the graph has a C3k2, and its width follows from the
    number of classes. Some releases trained other heads for the same graph, so the weights decide.
    """
    is_depthwise = "cv3.0.0.0.conv.weight" in state
    first = "cv3.0.0.1.conv.weight" if is_depthwise else "cv3.0.0.conv.weight"
    keys = ("cv2.0.2.weight", "cv3.0.2.weight", first)
    if any(key not in state or state[key].dim() != 4 for key in keys):
        raise UserError(
            f"{where}: has neither anchors nor the branches cv2 and cv3, so it is another head"
        )
    _, width, incoming = (state[key].shape[1] for key in keys)
    found: Content = {"reg_max": state[keys[0]].shape[0] // 4}
    if is_depthwise != has_c3k2:
        found["class_branch"] = "depthwise" if is_depthwise else "dense"
    if width != max(incoming, min(class_count, 100)):
        found["class_width"] = width
    return found


def strides_of(holder: object, where: str) -> list[float]:
    """The strides that a head or a network has as an attribute, pixels per cell of each level.

    Raises UserError, after `where`, if it has none.
    """
    strides = holder.get("stride") if isinstance(holder, PickledObject) else None
    if (
        not isinstance(strides, Tensor)
        or strides.dim() != 1
        or not 1 <= strides.numel() <= MAX_LEVELS
    ):
        raise UserError(f"{where}: has no strides, so the unit of its anchors is not known")
    return [float(stride) for stride in strides.double()]


def _activation(rows: Iterable[object]) -> Content:
    """The activation of the first Conv as a key of the graph; {} for the usual one.

    models/weights/upstream/fit.py compares that of the others with it.
    """
    first = next((row for row in rows if class_name_of(row) == "Conv"), None)
    found = members(first, "_modules").get("act") if isinstance(first, PickledObject) else None
    text = activation_text(found) if found is not None else "nn.SiLU()"
    return {} if text == "nn.SiLU()" else {"activation": text}
