"""Give every tensor of a foreign network the key that it has in our graph.

models/weights/upstream/adopt.py calls fit_state(). A key, shape or setting that our model does not
have is an error that names it; no weight is ever dropped here. The reader of the graph leaves out
the one-to-one branches of a head, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.common import Conv
from models.graph.structure import Graph, Row
from models.graph.values import shorten
from models.graph.walk import measure_strides
from models.weights.upstream.graph import strides_of
from models.weights.upstream.tree import (
    NORM_EPSILON,
    Tree,
    activation_text,
    check_attributes,
    class_name_of,
    members,
)
from models.yolo import parse_model
from utils.errors import UserError
from utils.pickles.objects import PickledObject

UNUSED = ("anchor_grid",)  # tensors of old heads that are computed from others


def fit_state(graph: Graph, tree: Tree) -> dict[str, Tensor]:
    """All tensors of a foreign network by our keys.

    Args:
        graph: of the network, in our form.
        tree: the network.

    Returns:
        The state dict of our model of the graph, as copies.

    Raises:
        UserError: A key, shape, type, setting or stride differs from our model's.
    """
    with torch.device("meta"):
        skeleton, _ = parse_model(graph, 0)
    # The graph determines its strides, so other strides in the file show that the program that
    # wrote it built another network.
    _check_strides(measure_strides(skeleton, graph).strides, tree)
    state: dict[str, Tensor] = {}
    for row, ours in zip(graph.rows, skeleton, strict=True):
        state |= _fit_row(row, ours, tree)
        for path, module in ours.named_modules():
            theirs = tree.module_at(f"model.{row.index}.{path}" if path else f"model.{row.index}")
            if theirs is not None:
                if _is_fused_sum(module, theirs):
                    module = module.get_submodule("conv")
                where = f"row {row.index}: {row.module}{f'.{path}' if path else ''}"
                check_attributes(where, module, theirs)
                _check_activation(row, graph, module, theirs)
    for key, value in tree.state.items():
        if not key.startswith("model."):
            raise UserError(f"{shorten(key)} {list(value.shape)}: belongs to no row")
    return state


def _is_fused_sum(ours: nn.Module, theirs: PickledObject) -> bool:
    """Whether the file has a bare convolution for a Conv without activation, a part of a sum."""
    is_bare = isinstance(ours, Conv) and isinstance(ours.act, nn.Identity)
    return is_bare and class_name_of(theirs) == "Conv2d"


def _check_strides(ours: list[float], tree: Tree) -> None:
    """Raise UserError unless the network's strides are those of our graph."""
    rows = tree.rows()
    where, on_root = f"row {len(rows) - 1}", isinstance(tree.root.get("stride"), Tensor)
    found = strides_of(tree.root if on_root else rows[-1], where)
    if found != ours:
        raise UserError(f"{where}: strides {shorten(found)}: but its graph has {shorten(ours)}")


def _fit_row(row: Row, ours: nn.Module, tree: Tree) -> dict[str, Tensor]:
    """Copies of one row's tensors, each compared with ours."""
    where = f"row {row.index}: {row.module}"
    theirs = {key: value for key, value in tree.of_row(row.index).items() if key not in UNUSED}
    expected = ours.state_dict()
    theirs = in_our_form(theirs, expected)
    for key, value in expected.items():
        if key not in theirs:
            raise UserError(
                f"{where}: {key} {list(value.shape)}: is not in the file, so it is another"
                f" {row.module}"
            )
        _check_tensor(f"{where}: {key}", theirs[key], value)
    for key, value in theirs.items():
        if key not in expected:
            raise UserError(
                f"{where}: {shorten(key)} {list(value.shape)}: has no place in this project's"
                f" {row.module}"
            )
    return {f"model.{row.key}.{key}": theirs[key].clone() for key in expected}


def in_our_form(theirs: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as our modules have them, where another form computes the same.

    Weights of linear layers and 1x1 convolutions get our shape. A program that fuses a model for
    inference folds each batch norm into the convolution before it; there a batch norm that only
    adds the bias of that convolution comes back.

    Args:
        theirs: tensors by our keys.
        expected: the tensors of our module, of which shapes and keys count.

    Returns:
        A new dictionary.
    """
    theirs = _with_parts_of_sums(theirs, expected)
    found = {
        key: as_shaped(value, expected[key]) if key in expected else value
        for key, value in theirs.items()
    }
    for stem in folded_norms(theirs, expected):
        shift = found.pop(f"{stem.removesuffix('bn.')}conv.bias").float()
        ones = torch.ones_like(shift)
        found |= {
            f"{stem}weight": (ones + NORM_EPSILON).sqrt(),
            f"{stem}bias": shift,
            f"{stem}running_mean": torch.zeros_like(shift),
            f"{stem}running_var": ones,
            f"{stem}num_batches_tracked": torch.zeros((), dtype=torch.int64),
        }
    return found


def folded_norms(theirs: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What the keys begin with of our batch norms that are folded into a convolution there."""
    found = []
    for key in expected:
        stem = key.removesuffix("running_var")
        bias = f"{stem.removesuffix('bn.')}conv.bias"
        is_folded = bias in theirs and bias not in expected and key not in theirs
        if key.endswith("bn.running_var") and is_folded:
            found.append(stem)
    return found


def _with_parts_of_sums(
    theirs: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors in which a sum of two convolutions that was fused into one has both parts again.

    RepVGGDW adds a 7x7 and a 3x3 convolution; the first gets the whole kernel, the second zeros.
    """
    found = dict(theirs)
    for key in expected:
        stem = key.removesuffix("conv1.conv.weight")
        kernel, bias = f"{stem}conv.weight", f"{stem}conv.bias"
        is_sum = f"{stem}conv.conv.weight" in expected and kernel in theirs and bias in theirs
        if not key.endswith("conv1.conv.weight") or not is_sum or key in theirs:
            continue
        whole, shift = found.pop(kernel), found.pop(bias)
        found |= {
            f"{stem}conv.conv.weight": whole,
            f"{stem}conv.conv.bias": shift,
            key: torch.zeros(expected[key].shape, dtype=whole.dtype),
            f"{stem}conv1.conv.bias": torch.zeros_like(shift),
        }
    return found


def as_shaped(found: Tensor, ours: Tensor) -> Tensor:
    """A linear layer's weight as that of a 1x1 convolution or the reverse, which compute the same.

    Any other tensor is returned as it is.
    """
    same = found.shape[:2] == ours.shape[:2] and found.numel() == ours.numel()
    return found.reshape(ours.shape) if same and {found.dim(), ours.dim()} == {2, 4} else found


def _check_tensor(where: str, found: Tensor, ours: Tensor) -> None:
    """Raise UserError for another shape, or for integers instead of floating-point numbers."""
    if found.shape != ours.shape:
        raise UserError(f"{where} {list(found.shape)}: but the graph makes it {list(ours.shape)}")
    if found.is_floating_point() != ours.is_floating_point():
        raise UserError(f"{where}: is {found.dtype}, where {ours.dtype} is needed")


def _check_activation(row: Row, graph: Graph, ours: nn.Module, theirs: PickledObject) -> None:
    """Raise UserError for a Conv whose activation is not the graph's."""
    if isinstance(ours, Conv) and ours.own_activation:
        found = activation_text(members(theirs, "_modules").get("act"))
        expected = graph.activation or "nn.SiLU()"
        if found != expected:
            raise UserError(
                f"row {row.index}: {row.module}: has {found}, where the first Conv has {expected}; "
                "this project's graphs have one activation"
            )
