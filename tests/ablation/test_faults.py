"""Clues on faults: each with its sentence where the fault is, and none where it is not."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from ablation.faults import Evidence, find_faults, rate_sum
from ablation.gates import GateStats, Health, attention_of
from ablation.results import CellResult
from ablation.start import Change, Start
from models.graph.load import load_graph
from models.graph.sites import insert
from models.yolo import DetectionModel
from tests.ablation.fake import make_cell
from tests.tiny import GRAPH
from utils.files import ROOT

CALM = GateStats("model.9_SE", "SE", 0.9, 0.1, 0.0, 0.0, None, 100)
HEALTH = Health((CALM,), 0.1, 0.01)
AVERAGE = {"updates": 100.0, "start_share": 0.0}
NET = DetectionModel(GRAPH)


def cell(**metrics: Any) -> CellResult:
    """A finished cell of 3 epochs, whose learning rates are 0.01, but for those of biases."""
    made = make_cell("SE@neck", 0, 0.4)
    rows = [{"epoch": n, "x/lr0": 0.1, "x/lr1": 0.01, "x/lr2": 0.01} for n in range(3)]
    return dataclasses.replace(
        made, curve=rows, metrics={**made.metrics, "average": AVERAGE, **metrics}
    )


def change(key: str = "model.0.conv.weight", **values: Any) -> Change:
    calm = Change(key, "_" in key.split(".")[1], "_" not in key, False, 0.05, 0.3)
    return dataclasses.replace(calm, **values)


def start(*changes: Change, model: DetectionModel = NET) -> Start:
    """The start of a run with some base tensors and one of the module, unless others are given."""
    base = [change(f"model.{row}.conv.weight") for row in range(8)]
    return Start(model, tuple(changes) or (*base, change("model.9_SE.fc.weight")))


def evidence(**changes: Any) -> Evidence:
    calm = Evidence(cell(), (), "AdamW", start(), start(), HEALTH, HEALTH)
    seen = dataclasses.replace(calm, **changes)
    return dataclasses.replace(seen, cells=seen.cells or (seen.cell,))


def named(**changes: Any) -> str:
    """The sentences on an arm with this evidence."""
    return " ".join(find_faults(evidence(**changes)))


def test_an_arm_without_faults_has_none() -> None:
    assert named() == ""
    assert find_faults(Evidence(cell())) == []  # nothing could be made again
    assert find_faults(Evidence(make_cell("SE@neck", 0, 0.4))) == []  # a run of earlier versions


def test_an_average_that_holds_the_start() -> None:
    young = {"updates": 12.0, "start_share": 0.98}
    assert "too young: after 12 updates they still hold 98% of the weights at the start" in named(
        cell=cell(average=young)
    )
    assert named(cell=cell(average={**young, "start_share": 0.05})) == ""


def test_swapped_names() -> None:
    assert "(ring as star, star as ring): their names are probably swapped" in named(
        cell=cell(swapped=[["ring", "star"]])
    )
    assert named(cell=cell(swapped=[])) == ""
    # The arm itself finds too little to show it, but two runs of the baseline do.
    other = cell(swapped=[["ring", "star"]])
    assert named(cells=(cell(swapped=[]), other, other)).count("(ring as star, star as ring)") == 1


def test_weights_of_the_base_that_were_not_transferred() -> None:
    def lost(count: int, **values: Any) -> Start:
        return start(
            *(change(f"model.{n}.conv.weight", **(values if n < count else {})) for n in range(8))
        )

    assert "Only 5 of 8 tensors" in named(start=lost(3, is_lost=True))
    assert "Only 0 of 8 tensors" in named(start=lost(8, is_copied=False))
    assert named(start=lost(1, is_lost=True)) == ""  # an eighth is the limit
    assert named(start=lost(8, is_lost=True), plain=lost(8, is_lost=True)) == ""  # trained for long


def test_skips_that_an_insertion_did_not_move() -> None:
    graph = {**load_graph(ROOT / "models/yolov5n.yaml"), "width_multiple": 0.0625}
    right = insert(graph, ["SimAM@backbone.P3"])
    wrong = copy.deepcopy(right)
    for row, former in zip(wrong["head"], graph["head"], strict=True):
        if row[2] == "Concat":
            row[0] = former[0]
    plain, moved, unmoved = (start(model=DetectionModel(one)) for one in (graph, right, wrong))
    assert named(start=moved, plain=plain) == ""
    sentence = named(start=unmoved, plain=plain)
    assert (
        "connected wrongly: row 13, Concat reads row 6, Conv: the number was not moved" in sentence
    )
    assert "it should read row 7, C3" in sentence
    assert named(start=unmoved, plain=unmoved) == ""  # the baseline's own graph is not the arm's


def saturated(**gate: Any) -> Health:
    return Health((dataclasses.replace(CALM, mean=1e-4, spread=1e-5, low=1.0, **gate),), 1e-4, 0.01)


def test_a_gate_that_starts_saturated() -> None:
    sentence = named(begin=saturated())
    assert "model.9_SE is saturated at its start: 100% of its gate values are below" in sentence
    assert "0.01% of the gradient's norm" in sentence
    assert named(begin=dataclasses.replace(saturated(), gradient_share=0.1)) == ""  # it learns
    identity = dataclasses.replace(CALM, mean=1.0, spread=0.0, high=1.0)
    assert named(begin=Health((identity,), 0.0, 0.01)) == ""  # an alpha of 0 is a start as wanted


def test_a_module_without_gradient() -> None:
    still = change("model.9_SE.fc.weight", bent=3e-4, moved=1e-5)
    base = [change(f"model.{row}.conv.weight") for row in range(8)]
    assert "9_SE gets no gradient: none of its 1 tensor has moved" in named(
        start=start(*base, still)
    )
    alpha = change("model.9_SE.alpha")
    assert named(start=start(*base, still, alpha)) == ""  # one of its tensors learns
    frozen = [dataclasses.replace(one, bent=1e-4) for one in base]
    assert named(start=start(*frozen, still)) == ""  # nothing was learned anywhere


def test_new_rows_with_a_higher_learning_rate() -> None:
    assert rate_sum(cell()) == pytest.approx(1.0)  # 100 updates of 0.01
    base = [change(f"model.{row}.conv.weight") for row in range(8)]
    far = start(*base, change("model.9_SE.fc.weight", moved=2.1))
    assert "moved by 2.1 an element, where 2 is the most" in named(start=far)
    assert named(start=far, optimizer="SGD") == ""  # whose steps have no limit
    assert named(start=start(*base, change("model.9_SE.fc.weight", moved=1.9))) == ""
    assert named(start=start(*base, change("model.9_SE.fc.bias", moved=9.0))) == ""


def test_a_constant_that_nothing_can_change() -> None:
    def end(**values: Any) -> Health:
        return Health((dataclasses.replace(CALM, mean=0.62, **values),), 0.0, 0.0)

    assert "multiplies everything by 0.62 (spread 0.0010). Lower the constant" in named(
        end=end(spread=0.001, parameters=0)
    )
    assert named(end=end(spread=0.05, parameters=0)) == ""
    assert named(end=end(name="model.4_SimAM", spread=0.0, parameters=0)) != ""
    both = end(name=next(iter(attention_of(NET))), spread=0.0, parameters=0)
    assert named(end=both) == ""  # the baseline has it too
    assert named(end=end(spread=0.001, parameters=9)) == ""  # it may still learn to select


def test_the_connection_comes_before_what_follows_from_it() -> None:
    found = find_faults(
        evidence(cell=cell(swapped=[["a", "b"]], average={**AVERAGE, "start_share": 1}))
    )
    assert ["names" in sentence for sentence in found] == [True, False]
