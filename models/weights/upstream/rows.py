"""Recognise attention among the rows of a foreign network, and give its tensors our keys.

A row is attention if its class has the name of one of our modules, or if its tensors have the names
of a public copy of one (models/weights/upstream/forms.py). Where both are known, the tensors
decide, because forks give the same class name to different formulas.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from models.attention import ATTENTION
from models.graph.structure import Row
from models.weights.pickles.objects import PickledObject
from models.weights.upstream.attention import read_arguments
from models.weights.upstream.blocks import BlockFound, recognise_block
from models.weights.upstream.forms import KeyForm, find_form
from models.weights.upstream.plain import ForeignRow
from models.weights.upstream.tree import Tree

Tensors = Mapping[str, Tensor]


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
        return (known[0] if known else ""), {}
    tree.rename(number, _translated(form, state, prefix), _paths(form, state, prefix))
    return form.module, dict(form.options)


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
    graph: Mapping[str, object], rows: Sequence[Row], state: Tensors
) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Fit the attention rows of a graph to a state dict, whose keys tell what was built.

    Args:
        graph: the graph's dictionary.
        rows: its rows, checked.
        state: the state dict, whose rows have our keys.

    Returns:
        The graph, its attention rows with the arguments of the tensors; and the state dict under
        our names.
    """
    fitted, translated = copy.deepcopy(dict(graph)), dict(state)
    for row, written in zip(rows, _written_rows(fitted), strict=True):
        start = f"model.{row.key}."
        found = under(state, start)
        prefix = "0." if row.repeats > 1 else ""
        if not found or row.module not in ATTENTION:
            block = _block_of(row, written, found) if found else None
            if block:
                for key in found:
                    del translated[start + key]
                translated |= {start + key: value for key, value in block.state.items()}
                written[2:] = [block.base, block.arguments]
            continue
        name = ATTENTION[row.module].__name__
        form = find_form(under(found, prefix), (name,))
        given = dict(form.options) if form else {}
        if form:
            for key in found:
                del translated[start + key]
            name, found = form.module, _translated(form, found, prefix)
            translated |= {start + key: value for key, value in found.items()}
        options = read_arguments(name, PickledObject(name, {}), under(found, prefix), written[3])
        written[2:] = [name, {**options, **given} if isinstance(options, dict) else options]
    return fitted, translated


def _block_of(row: Row, written: list[Any], state: Tensors) -> BlockFound | None:
    """A row that is a block with attention inside it, or None."""
    if not isinstance(written[3], list):
        return None
    name = row.alias or row.module
    return recognise_block(ForeignRow(f"row {row.index}: {name}", (name,), written[3], state))


def _written_rows(graph: Mapping[str, object]) -> list[list[Any]]:
    """The rows of a graph that read_graph accepts, as they are written."""
    backbone, head = graph["backbone"], graph["head"]
    assert isinstance(backbone, list)
    assert isinstance(head, list)
    return [*backbone, *head]
