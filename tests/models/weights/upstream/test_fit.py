"""Every tensor of a foreign network finds its place, or is named."""

from __future__ import annotations

import pytest
import torch

from models.graph.read import read_graph
from models.weights.upstream.fit import fit_state
from models.weights.upstream.graph import read_foreign_graph
from tests.models.weights.upstream.test_graph import tree_of
from tests.tiny import GRAPH
from utils.errors import UserError


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("extra.weight", torch.zeros(2, 3), r"extra\.weight \[2, 3\]: belongs to no row"),
        ("model.0.conv.weight", torch.zeros(1), r"row 0: Conv: conv\.weight \[1\]: but the graph"),
        ("model.0.gamma", torch.zeros(1), r"row 0: Conv: gamma \[1\]: has no place"),
        (
            "model.0.bn.bias",
            torch.zeros(8).long(),
            r"bn\.bias: is torch\.int64, where torch\.float",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(key: str, value: torch.Tensor, message: str) -> None:
    tree = tree_of(GRAPH)
    graph = read_graph(read_foreign_graph(tree))
    tree.state[key] = value
    tree._by_row.clear()
    with pytest.raises(UserError, match=message):
        fit_state(graph, tree)


def test_values_are_copies() -> None:
    tree = tree_of(GRAPH)
    state = fit_state(read_graph(read_foreign_graph(tree)), tree)
    state["model.0.conv.weight"].zero_()
    assert tree.state["model.0.conv.weight"].any()
