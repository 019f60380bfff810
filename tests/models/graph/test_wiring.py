"""Warnings about references that were not moved.

Every golden shift, a tutorial's graph and both families are covered, and there is no false alarm.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch

from models.command import main
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.wiring import stage_end
from models.lint.advice import warnings_of
from models.yolo import DetectionModel
from tests.models.fill import GOLDEN_V8
from utils.errors import UserError, run_main
from utils.files import save_yaml

SHIFTS: dict[str, Any] = json.loads((GOLDEN_V8 / "yaml_cases.json").read_text())[
    "index_shift_yolov8n_identity"
]


def on_meta(graph: dict[str, Any]) -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(graph)


def inserted(name: str, place: int, moved: tuple[int, ...] = ()) -> dict[str, Any]:
    """The graph with SimAM at place.

    Only the references of the rows in moved are adjusted, to the numbers given there.
    """
    graph = load_graph(name)
    rows = graph["backbone"] + graph["head"]
    rows = [*rows[:place], [-1, 1, "SimAM", []], *rows[place:]]
    for index in moved:
        source, *rest = rows[index]
        rows[index] = [[part + 1 if part >= place else part for part in source], *rest]
    return {**graph, "backbone": rows[:12], "head": rows[12:]}


def slips(model: DetectionModel) -> list[tuple[int, int, int]]:
    """(reader, row read, row meant) of each such warning."""
    found = []
    for warning in model.warnings:
        if "probably meant" in warning:
            numbers = re.search(
                r": row (\d+): .* reads row (\d+), .* of the same size; (\d+) was", warning
            )
            assert numbers
            found.append((int(numbers[1]), int(numbers[2]), int(numbers[3])))
    return found


def test_a_tutorials_graph_with_one_reference_left_behind() -> None:
    """The article inserts a row at 3 and leaves the first Concat as it was.

    Sizes and strides are those of the right graph.
    """
    model = on_meta(inserted("yolov8n.yaml", 3, moved=(15, 18, 21, 23)))
    lists = [row.f for row in model.model if isinstance(row.f, list)]
    assert lists == [[-1, 6], [-1, 5], [-1, 13], [-1, 10], [16, 19, 22]]
    assert slips(model) == [(12, 6, 7)]
    assert model.warnings == [
        (
            "models/yolov8.yaml: row 12: Concat from [-1, 6]: reads row 6, Conv, whose stage goes"
            " on to row 7, C2f, of the same size; 7 was probably meant, as rows inserted above move"
            " the numbers"
        ),
    ]
    assert warnings_of(model) == [
        *model.warnings,
        (
            "models/yolov8.yaml: 1 thing in its wiring: see python models/yolo.py --lint"
            " models/yolov8.yaml"
        ),
    ]


def test_a_tutorials_graph_with_all_references_left_behind() -> None:
    model = on_meta(inserted("yolov8n.yaml", 3))
    golden = SHIFTS["insert@3 nothing shifted"]
    assert sum(parameter.numel() for parameter in model.parameters()) == golden["params"]
    assert slips(model) == [
        (12, 6, 7),
        (15, 4, 5),
        (18, 12, 13),
        (21, 9, 10),
        (23, 15, 16),
        (23, 18, 19),
        (23, 21, 22),
    ]


@pytest.mark.parametrize("place", [3, 7, 10, 13, 16, 19, 22])
def test_every_golden_shift_is_told(place: int) -> None:
    model = on_meta(inserted("yolov8n.yaml", place))
    golden = SHIFTS[f"insert@{place} nothing shifted"]
    assert sum(parameter.numel() for parameter in model.parameters()) == golden["params"]
    assert (23, 21, 22) in slips(model)
    assert all(meant == read + 1 for _, read, meant in slips(model))


@pytest.mark.parametrize("name", ["yolov5n.yaml", "yolo11n.yaml"])
@pytest.mark.parametrize("place", [1, 5, 9, 13, 17, 22])
def test_any_single_insertion_is_told_in_other_families_too(name: str, place: int) -> None:
    assert slips(on_meta(inserted(name, place)))


def test_two_insertions_fail_by_themselves() -> None:
    graph = inserted("yolov8n.yaml", 3)
    graph["backbone"] = [*graph["backbone"][:3], [-1, 1, "SimAM", []], *graph["backbone"][3:]]
    with pytest.raises(UserError, match="differ in size"):
        on_meta(graph)


def test_attention_behind_a_stage_that_is_passed_by() -> None:
    """All numbers are right, but Concat still reads row 6, before the new attention in row 7."""
    model = on_meta(inserted("yolov8n.yaml", 7, moved=(15, 18, 21, 23)))
    assert slips(model) == [(12, 6, 7)]


def test_a_stage_ends_where_the_size_or_the_source_changes() -> None:
    row = [-1, 1, "Conv", [8]]
    head = [[[2, 3], 1, "Detect", ["nc"]]]
    graph = read_graph({"nc": 1, "backbone": [row, row, row, [1, 1, "Conv", [8]]], "head": head})
    assert [stage_end(graph, start, [(4, 4)] * 4) for start in range(4)] == [2, 2, 2, 3]
    assert [stage_end(graph, start, [(8, 8), (4, 4), (4, 4), (4, 4)]) for start in (-1, 0, 1)] == [
        -1,
        0,
        2,
    ]


def test_the_script_prints_the_warnings_of_a_graph_with_a_dead_row_too(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = inserted("yolov8n.yaml", 3)
    save_yaml(tmp_path / "yolov8n-tutorial.yaml", graph)
    assert run_main(main, ["--cfg", str(tmp_path / "yolov8n-tutorial.yaml")]) == 2
    printed = capsys.readouterr()
    assert "row 22: C2f: no other row reads this row" in printed.err
    assert "reads row 6, Conv, whose stage goes on to row 7, C2f" in printed.out
