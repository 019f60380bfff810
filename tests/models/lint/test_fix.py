"""Graphs that were fixed are the ones that their authors meant."""

from __future__ import annotations

from typing import Any

import pytest

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.lint.fix import fix_graph, lint_content
from tests.models.lint.test_rules import FOLDER


def wiring(content: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(row.inputs, row.repeats, row.key, row.arguments) for row in read_graph(content).rows]


@pytest.mark.parametrize("name", ["yolov8n_danet_first_skip", "yolov8n_danet_nothing_moved"])
def test_the_fixed_graph_of_a_tutorial_is_the_shipped_one(name: str) -> None:
    """The article's head can be read in two ways: only the first Concat as before, or all of it."""
    _, better, _ = fix_graph(load_graph(FOLDER / f"{name}.yaml"))
    assert wiring(better) == wiring(load_graph("models/yolov8_DoubleAttention.yaml", "n"))


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=[] if place in (3, 10, 16) else pytest.mark.slow)
        for place in range(1, 22)
    ],
)
def test_a_row_inserted_anywhere_without_moving_numbers_is_fixed(place: int) -> None:
    """Every map read by number is that of the plain graph, or the attention right after it."""
    plain = load_graph("yolov8n.yaml")
    rows = plain["backbone"] + plain["head"]
    rows = [*rows[:place], [-1, 1, "SimAM", []], *rows[place:]]
    found, better, context = fix_graph({**plain, "backbone": rows[:9], "head": rows[9:]})
    assert found
    assert not context.error
    assert lint_content(better) == []
    moved = [read + (read >= place) for read in (6, 4, 12, 9, 15, 18, 21)]
    meant = [read + 1 if read + 1 == place else read for read in moved]
    graph = read_graph(better)
    lists = [
        part
        for row in graph.rows
        if isinstance(row.source, list)
        for part in row.source
        if part != -1
    ]
    assert lists == meant
