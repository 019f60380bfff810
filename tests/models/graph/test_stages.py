"""Strides, stages and their names, compared with computed maps and with what heads read."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.stages import level_of, name_places, neck_source
from models.graph.walk import PROBE, measure_strides
from models.yolo import parse_model
from utils.errors import UserError
from utils.files import ROOT

SHIPPED = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("*.yaml"))
SOME = (
    "models/yolov5n.yaml",
    "models/yolov8.yaml",
    "models/yolo11.yaml",
    "models/yolo12.yaml",
    "models/hub/yolov3-tiny.yaml",
    "models/hub/yolov5-p7.yaml",
    "models/hub/yolov5s-ghost.yaml",
    "models/yolov8_DoubleAttention.yaml",
)


def check_strides(name: str) -> None:
    """Compare strides from the rows with the sizes of maps on the meta device.

    A pad does not change the stride, but it may give 9 cells for 8, so it is left out.
    """
    content = load_graph(name)
    graph = read_graph(content)
    with torch.device("meta"):
        sizes = measure_strides(parse_model(graph, 0)[0], graph).sizes
    steps = graph.steps
    found = [(step.index, step.stride) for step in steps[:-1] if step.module != "nn.ZeroPad2d"]
    assert found == [(index, PROBE / sizes[index][0]) for index, _ in found]


@pytest.mark.parametrize("name", SOME)
def test_strides_are_those_of_the_maps(name: str) -> None:
    check_strides(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_strides_are_those_of_the_maps_in_every_graph(name: str) -> None:
    check_strides(name)


@pytest.mark.parametrize("name", SHIPPED)
def test_before_the_head_a_necks_name_means_what_the_head_reads(name: str) -> None:
    """The rule for the rows so far agrees with the head's own inputs.

    So `from: [neck.P3, …]` may end any graph.
    """
    content = load_graph(name)
    graph = read_graph(content)
    steps = graph.steps
    named = name_places(steps[:-1])
    for row in (neck_source(steps, source) for source in graph.rows[-1].inputs):
        assert named[f"neck.{level_of(steps[row].stride)}"] == row


def test_levels() -> None:
    assert [level_of(stride) for stride in (2, 8, 64, 1, 0.5, 12, math.nan, math.inf)] == [
        "P1",
        "P3",
        "P6",
        *[""] * 5,
    ]


NAMED = {  # rows of yolov5s.yaml, and what a person would call their sources
    12: [-1, "backbone.P4"],
    16: [-1, "backbone.p3"],
    19: [-1, "neck.topdown.P4"],
    22: [-1, "neck.topdown.P5"],
    24: ["neck.P3", "neck.P4", "neck.P5"],
}


def named_yolov5s(**changes: Any) -> dict[str, Any]:
    content = load_graph("models/yolov5s.yaml")
    rows = [*content["backbone"], *content["head"]]
    for index, source in {
        **NAMED,
        **{int(key[1:]): value for key, value in changes.items()},
    }.items():
        rows[index] = [source, *rows[index][1:]]
    return {**content, "backbone": rows[:10], "head": rows[10:]}


def test_names_in_from_give_the_same_rows_as_numbers() -> None:
    assert read_graph(named_yolov5s()).rows == read_graph(load_graph("models/yolov5s.yaml")).rows


def test_names_and_numbers_mix() -> None:
    mixed = named_yolov5s(_24=[17, "neck.P4", "index.23"], _10="backbone.sppf")
    rows = read_graph(mixed).rows
    assert (rows[24].source, rows[10].source, rows[10].inputs) == ([17, 20, 23], 9, (9,))


def test_a_name_beside_minus_one_is_not_the_stage_that_goes_on() -> None:
    """Row 18 shrinks to stride 16 and row 19 joins it with neck.P4, the stage before it."""
    assert read_graph(named_yolov5s(_19=[-1, "neck.P4"])).rows[19].inputs == (18, 14)
    assert read_graph(named_yolov5s(_19=[18, "neck.P4"])).rows[19].inputs == (18, 14)


@pytest.mark.parametrize(
    ("row", "name", "said"),
    [
        (
            12,
            "neck.P3",
            "row 12: from neck.P3: no row above has this name; there are backbone.P1 (row 0), ",
        ),
        (
            12,
            "backbone.P6",
            (
                "backbone.P5 (row 9), backbone.sppf (row 9), neck.P5 (row 10), neck.topdown.P5"
                " (row 10)"
            ),
        ),
        (12, "index.12", "from index.12"),
        (12, "index.x", "from index.x"),
        (12, "every C3", "from every C3"),
        (0, "backbone.P4", "there are none"),
        (2, "backbone.P3", "there are backbone.P1 (row 0), backbone.P2 (row 1)"),
    ],
)
def test_a_name_that_no_row_above_has(row: int, name: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        read_graph(named_yolov5s(**{f"_{row}": name if row < 12 else [-1, name]}))
    assert said in str(error.value)
    assert str(error.value).startswith(f"models/yolov5s.yaml: row {row}: from {name}: ")
    assert "\n" not in str(error.value)
