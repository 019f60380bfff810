"""The rules about wiring: attention that is meant for a part of the paths, and dead branches."""

from __future__ import annotations

import pytest
import torch

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.wiring import dead_branches
from models.lint.fix import lint_content, try_out
from models.lint.wiring_rules import no_gradient
from models.yolo import DetectionModel
from tests.models.lint.test_rules import FOLDER


def test_attention_for_the_head_only_or_side_by_side_is_not_reported() -> None:
    plain = load_graph("yolov8n.yaml")
    head = plain["head"]
    aside = [*head[:6], [-1, 1, "SimAM", []], [-2, 1, "Conv", [256, 3, 2]], *head[7:]]
    aside[8:] = [[[-1, 12], 1, "Concat", [1]], *head[8:10], [[-1, 9], 1, "Concat", [1]], head[11]]
    aside.append([[16, 19, 22], 1, "Detect", ["nc"]])
    assert lint_content({**plain, "head": aside}) == []
    parallel = [
        [9, 1, "SimAM", []],
        [9, 1, "ECA", []],
        [[-1, -2], 1, "Concat", [1]],
        [-1, 1, "Conv", [1024]],
    ]
    moved = [
        (
            [[part + 4 if part > 8 else part for part in row[0]], *row[1:]]
            if isinstance(row[0], list)
            else row
        )
        for row in head
    ]
    assert lint_content({**plain, "head": parallel + moved}) == []


def test_rows_without_gradient_are_those_that_training_does_not_change() -> None:
    content = load_graph(FOLDER / "yolov5s_side_branch.yaml")
    model = DetectionModel(content | {"width_multiple": 0.25}, class_count=1).train()
    sum(level.sum() for level in model(torch.rand(2, 3, 64, 64))).backward()
    learning = {
        row.i
        for row in model.model
        if any(part.grad is not None and part.grad.any() for part in row.parameters())
    }
    idle = {row.i for row in model.model if row.np} - learning
    graph = read_graph(model.graph)
    assert idle == {*dead_branches(graph), 25}
    found = no_gradient(graph, try_out(content))
    assert [finding.row for finding in found] == dead_branches(graph)
    assert 25 not in {source for row in graph.rows for source in row.inputs}


@pytest.mark.parametrize("module", ["Concat", "Add"])
@pytest.mark.parametrize(
    ("row", "source", "rule", "meant"),
    [(12, 6, "", None), (12, 5, "stage", 6), (22, 13, "size", None), (19, -1, "twice", None)],
)
def test_rows_that_join_maps_are_judged_like_a_concat(
    module: str, row: int, source: int, rule: str, meant: int | None
) -> None:
    """All maps that yolov5's Concat rows join have equal channels, so Add can stand there."""
    content = load_graph("models/yolov5n.yaml")
    for index in (12, 16, 19, 22):
        content["head"][index - 10][2] = module
    plain = content["head"][row - 10]
    content["head"][row - 10] = [[-1, source], *plain[1:]]
    found = [(one.rule, one.fix.value if one.fix else None) for one in lint_content(content)]
    if rule == "twice":  # the row that is read no longer leaves its old source with a reader
        assert ("twice", None) in found
    else:
        assert found == ([(rule, meant)] if rule else [])


def test_a_branch_that_names_the_plain_map_by_number_is_meant() -> None:
    """A lateral branch of row 9 beside attention whose map a later Concat joins."""
    plain = load_graph("yolov8n.yaml")
    head = [
        [9, 1, "SimAM", []],  # 10
        [9, 1, "Conv", [1024]],  # 11: the branch
        [[-1, 10], 1, "Concat", [1]],  # 12
        [-1, 1, "Conv", [1024]],  # 13
        *plain["head"][:3],  # 14 to 16
        *plain["head"][3:6],  # 17 to 19
        [-1, 1, "Conv", [256, 3, 2]],
        [[-1, 16], 1, "Concat", [1]],
        plain["head"][8],  # 22
        [-1, 1, "Conv", [512, 3, 2]],
        [[-1, 13], 1, "Concat", [1]],
        plain["head"][11],  # 25
        [[19, 22, 25], 1, "Detect", ["nc"]],
    ]
    assert lint_content({**plain, "head": head}) == []
    head[2][0] = [-1, 9]  # now no row joins the attention's map, and the branch passes it by
    assert {finding.rule for finding in lint_content({**plain, "head": head})} >= {"unread"}


def test_a_head_that_repeats_a_level_and_has_no_other_is_left() -> None:
    plain = load_graph("yolov8n.yaml")
    head = [*plain["head"][:9], [-1, 1, "C2f", [512]], [[15, 18, 19], 1, "Detect", ["nc"]]]
    found = lint_content({**plain, "head": head})
    levels = [finding for finding in found if finding.rule == "levels"]
    assert levels
    assert all(finding.fix is None for finding in levels)
    assert all("no other level to offer" in finding.what for finding in levels)
