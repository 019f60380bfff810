"""Reading a graph: references, repeats, widths, keys, text that stands for numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.structure import unread_rows
from models.graph.values import as_number, shorten
from utils.errors import UserError
from utils.files import ROOT


def content(backbone: list[Any], head: list[Any], **changes: Any) -> dict[str, Any]:
    top = {
        "nc": 80,
        "depth_multiple": 0.33,
        "width_multiple": 0.5,
        "anchors": 3,
        "yaml_file": "g.yaml",
    }
    return {**top, "backbone": backbone, "head": head, **changes}


ROW = [-1, 1, "Conv", [8]]


def test_from_counts_rows_back_or_from_the_top() -> None:
    rows = read_graph(content([ROW, ROW, ROW], [[[-1, -2, 0], 1, "Concat", [1]]])).rows
    assert [row.inputs for row in rows] == [(-1,), (0,), (1,), (2, 1, 0)]


@pytest.mark.parametrize(
    ("depth", "written", "scaled"),
    [
        (0.33, 1, 1),
        (0.33, 3, 1),
        (0.33, 6, 2),
        (0.33, 9, 3),
        (0.67, 9, 6),
        (1.33, 3, 4),
        (1.33, 9, 12),
        (0.1, 2, 1),
    ],
)
def test_repeats_are_rounded_but_never_nought(depth: float, written: int, scaled: int) -> None:
    rows = read_graph(content([[-1, written, "C3", [8]]], [ROW], depth_multiple=depth)).rows
    assert rows[0].repeats == scaled


@pytest.mark.parametrize(
    ("width", "multiple", "channels", "scaled"),
    [(0.25, 8, 64, 16), (0.5, 8, 20, 16), (0.75, 8, 100, 80), (1, 4, 9, 12)],
)
def test_widths_are_rounded_up(width: float, multiple: int, channels: int, scaled: int) -> None:
    graph = read_graph(content([ROW], [ROW], width_multiple=width, channel_multiple=multiple))
    assert graph.scaled(channels) == scaled


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("1e-4", 1e-4), ("1E-4", 1e-4), ("-3", -3), (".5", 0.5), ("1e999", float("inf"))],
        *[("nearest", "nearest"), ("0x10", "0x10"), ("nan", "nan"), (7, 7), (None, None)],
    ],
)
def test_numbers_as_text(text: Any, number: Any) -> None:
    found = as_number(text)
    assert found == number
    assert type(found) is type(number)


def test_symbols_stand_for_the_graphs_values() -> None:
    graph = read_graph(content([ROW], [ROW], anchors=[[1, 2, 3, 4]]))
    texts = ["nc", "na", "no", "gw", "None", "True", "max", "1e-4", "anchors"]
    assert [graph.interpret(text) for text in texts] == [
        80,
        2,
        170,
        0.5,
        None,
        True,
        "max",
        1e-4,
        "anchors",
    ]


def test_keys_count_base_rows_only() -> None:
    attention = [-1, 1, "SimAM", []]
    rows = read_graph(content([attention, ROW, ROW, attention, attention], [ROW, attention])).rows
    assert [row.key for row in rows] == [
        "input_SimAM",
        "0",
        "1",
        "1_SimAM",
        "1_SimAM_2",
        "2",
        "2_SimAM",
    ]


def test_unread_rows_are_found() -> None:
    graph = read_graph(content([ROW, ROW, [0, 1, "Conv", [8]]], [ROW]))
    assert [row.index for row in unread_rows(graph)] == [1]


def test_anchors_as_pairs() -> None:
    assert read_graph(content([ROW], [ROW], anchors=[[1, 2, 3, 4], [5, 6, 7, 8]])).anchors == (
        ((1, 2), (3, 4)),
        ((5, 6), (7, 8)),
    )


@pytest.mark.parametrize("repeats", [10**4, 60000])
def test_absurd_repeats_are_refused(repeats: int) -> None:
    with pytest.raises(UserError, match=r"g.yaml: row 0: number .* too many repeats"):
        read_graph(content([[-1, repeats, "Conv", [8]]], [ROW]))


def test_aliases_that_multiply_are_refused_in_bounded_time() -> None:
    laughs: list[Any] = ["ha"]
    for _ in range(60):
        laughs = [laughs] * 9
    with pytest.raises(UserError, match=r"^g.yaml: row 0: ") as caught:
        read_graph(content([[-1, 1, "Conv", laughs]], [ROW]))
    assert len(str(caught.value)) < 300
    assert len(shorten(laughs)) <= 120


def test_a_graph_is_found_by_name_and_remembers_its_file(tmp_path: Path) -> None:
    assert load_graph("yolov5n6.yaml")["yaml_file"] == "models/hub/yolov5n6.yaml"
    assert load_graph(ROOT / "models" / "yolov5n.yaml")["yaml_file"] == "models/yolov5n.yaml"
    own = tmp_path / "mine.yaml"
    own.write_text("nc: 1\n")
    assert load_graph(own)["yaml_file"] == str(own)
    with pytest.raises(UserError, match="no such file"):
        load_graph("yolov9z.yaml")
