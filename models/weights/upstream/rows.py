"""Recognise attention among the rows of a foreign network, and give its tensors our keys.

A row is attention if its class has the name of one of our modules, or if its tensors have the names
of a public copy of one (models/weights/upstream/forms.py). Where both are known, the tensors
decide, because forks give the same class name to different formulas.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.attention import ATTENTION
from models.graph.attend import attention_options
from models.graph.build import BAD_ARGUMENTS
from models.graph.info import row_info
from models.graph.layers import layer_named
from models.graph.read import read_graph
from models.graph.structure import Graph, Row
from models.graph.values import shorten
from models.own.registry import own_named
from models.weights.upstream.attention import read_arguments
from models.weights.upstream.blocks import REMEDY, recognise_block
from models.weights.upstream.forms import KeyForm, find_form
from models.weights.upstream.identify import identify
from models.weights.upstream.plain import ForeignRow
from models.weights.upstream.tree import Tree
from models.weights.upstream.trials import Trials
from models.yolo import parse_model
from utils.errors import UserError
from utils.pickles.objects import PickledObject

Tensors = Mapping[str, Tensor]
UNKNOWN_MODULE = "is not a module of this project, nor has it the tensors of one"


def under(state: Tensors, prefix: str) -> dict[str, Tensor]:
    """The tensors whose keys begin with the prefix, without it."""
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def attention_of(
    tree: Tree, number: int, prefix: str, classes: Sequence[str]
) -> tuple[str, dict[str, object]]:
    """Recognise a row, and translate its tensors in the tree.

    Args:
        tree: the network.
        number: of the row.
        prefix: "0." for a row that is repeated, whose copies are numbered; "" otherwise.
        classes: names that its class has, in the file and in the YAML.

    Returns:
        The name of our module, "" if the row is not attention; and the options that follow from the
        names of its tensors.
    """
    known = tuple(ATTENTION[name].__name__ for name in classes if name in ATTENTION)
    state = tree.of_row(number)
    form = find_form(under(state, prefix), known)
    if form is None:
        if known[:1] == ("GAM",):
            print(
                "note: GAM: the file does not say whether its channel branch ends in a sigmoid;"
                " this project assumes that it does"
            )
        return _named(under(state, prefix), known, tree.trials), {}
    tree.rename(number, _translated(form, state, prefix), _paths(form, state, prefix))
    return form.module, dict(form.options)


def _named(state: Tensors, known: tuple[str, ...], trials: Trials) -> str:
    """The module of tensors that have our keys: that of the name, unless just one other fits."""
    if not known:
        return ""
    found = identify(state, known[:1], trials=trials)
    return found.name if found else known[0]


def _starts(state: Tensors, prefix: str) -> list[str]:
    """What the keys of each copy of a row begin with."""
    return sorted({f"{key.partition('.')[0]}." for key in state}) if prefix else [""]


def _translated(form: KeyForm, state: Tensors, prefix: str) -> dict[str, Tensor]:
    return {
        start + key: value
        for start in _starts(state, prefix)
        for key, value in form.translate(under(state, start)).items()
    }


def _paths(form: KeyForm, state: Tensors, prefix: str) -> dict[str, str]:
    return {
        start + ours: start + theirs
        for start in _starts(state, prefix)
        for ours, theirs in form.paths().items()
    }


def fit_graph(
    graph: Mapping[str, object], checked: Graph, state: Tensors
) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Fit the attention of a graph to a state dict, whose keys tell what was built.

    Args:
        graph: the graph's dictionary.
        checked: the graph, read.
        state: the state dict, whose rows have the graph's keys.

    Returns:
        The graph, its rows with the modules and arguments of the tensors; and the state dict under
        our names.

    Raises:
        UserError: A row's module does not exist, and its tensors are of none that does.
    """
    fitted, widths, trials = copy.deepcopy(dict(graph)), _widths(checked), Trials()
    by_row: dict[str, dict[str, Tensor]] = {}
    for row, written in zip(checked.rows, _written_rows(fitted), strict=True):
        start = f"model.{row.key}."
        by_row[start] = under(state, start)
        # A person's own class already has the names of the file.
        if by_row[start] and not own_named(row.module):
            channels = widths.get(row.inputs[0], 0)
            given = _yaml_options(checked, row, channels)
            written[2:], by_row[start] = _fit_row(
                row, written, by_row[start], channels, given, trials
            )
    # A row of another module than the graph's may have another key.
    keys = [f"model.{row.key}." for row in read_graph(fitted).rows]
    renamed = {
        f"{ours}{key}": value
        for ours, found in zip(keys, by_row.values(), strict=True)
        for key, value in found.items()
    }
    rest = {key: one for key, one in state.items() if not key.startswith(tuple(by_row))}
    return fitted, {**rest, **renamed}


def _widths(graph: Graph) -> dict[int, int]:
    """Channels of the map that each row gives, -1 for the image; {} if it cannot be built so."""
    try:
        with torch.device("meta"):
            network, _ = parse_model(graph, 0)
    except UserError:
        return {}
    return {
        -1: graph.channels,
        **{number: row_info(one).width for number, one in enumerate(network)},
    }


def _yaml_options(graph: Graph, row: Row, channels: int) -> dict[str, object]:
    """The options of an attention row as the YAML has them; {} if they cannot be told."""
    if row.module not in ATTENTION or not channels:
        return {}
    try:
        return attention_options(graph, row, channels)[0]
    except BAD_ARGUMENTS:
        return {}


def _fit_row(
    row: Row,
    written: list[Any],
    state: dict[str, Tensor],
    channels: int,
    given: dict[str, object],
    trials: Trials,
) -> tuple[list[object], dict[str, Tensor]]:
    """A row's module and arguments, and its tensors under our names.

    Args:
        row: of the graph.
        written: the row as it is written.
        state: its tensors, by their keys below it.
        channels: of the map that it reads, 0 if they are not known.
        given: options of attention in the YAML, for what no tensor shows.
        trials: those of the file.

    Returns:
        The module and its arguments, as in a row; and the tensors.

    Raises:
        UserError: The row's module does not exist, and its tensors are of none that does.
    """
    name = row.alias or row.module
    if row.module not in ATTENTION and isinstance(written[3], list):
        where = f"row {row.index}: {shorten(name)}"
        block = recognise_block(ForeignRow(where, (name,), written[3], state, trials=trials))
        if block:
            return [block.base, block.arguments], block.state
    prefix, module = "0." if row.repeats > 1 else "", PickledObject(name, {})
    own = under(state, prefix)
    if row.module in ATTENTION:
        kind = ATTENTION[row.module].__name__
        found = identify(own, (kind,), channels, module, trials)
    elif layer_named(row.module) is None:
        found = identify(own, (), channels, module, trials)
        kind = found.name if found else ""
    else:
        return written[2:], state
    if not kind:
        raise UserError(f"row {row.index}: {shorten(name)}: {UNKNOWN_MODULE}; {REMEDY}")
    form = find_form(own, (kind,))
    if form:
        state = _translated(form, state, prefix)
    name = found.name if found else form.module if form else kind
    read = read_arguments(name, module, under(state, prefix), written[3], channels)
    if not isinstance(read, dict):
        return [name, read], state
    kept = given if name == kind else {}
    return [name, {**kept, **read, **(form.options if form else {})}], state


def _written_rows(graph: Mapping[str, object]) -> list[list[Any]]:
    """The rows of a graph that read_graph accepts, as they are written."""
    backbone, head = graph["backbone"], graph["head"]
    assert isinstance(backbone, list)
    assert isinstance(head, list)
    return [*backbone, *head]
