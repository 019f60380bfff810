"""Planted causes: each fault is what it says, the tables are right, and a small study is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train
from bench import planted_faults
from bench.planted_cases import HEALTHY, MARKS, PLANTED
from bench.planted_causes import (
    MODULES,
    Case,
    Sizes,
    healthy_rows,
    planted_rows,
    report,
    summary,
    train_case,
)
from bench.planted_modules import (
    PlantedChannels,
    PlantedContrast,
    PlantedDetached,
    PlantedEnergy,
    PlantedPositions,
    PlantedZeros,
)
from engine.training import build
from engine.training import model as making
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from tests.tiny import write_graph
from utils.files import ROOT


def test_there_are_enough_cases() -> None:
    for half, planted, healthy in (("dev", 8, 8), ("held", 16, 40)):
        assert sum(case.half == half for case in PLANTED) >= planted
        assert sum(case.half == half for case in HEALTHY) >= healthy
        assert {case.cause for case in PLANTED if case.half == half} == MARKS.keys()
    names = [(case.half, case.is_swapped, case.arm.name) for case in (*PLANTED, *HEALTHY)]
    assert len(set(names)) == len(names)


def test_constants_hide_all_differences() -> None:
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for module, factor in ((PlantedEnergy(), 0.62), (PlantedContrast(), 0.5)):
        assert torch.allclose(module(x), factor * x, atol=0.02)
    assert (PlantedEnergy(1e-4)(x) / x).std() > 0.05


def test_gates_start_closed_open_or_without_gradient() -> None:
    x = torch.rand(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    assert PlantedChannels(8)(x).max() < 0.01
    assert torch.allclose(PlantedChannels(8, 9.0)(x), x, atol=0.01)
    gates = PlantedPositions()(x) / x
    assert ((gates < 0.05) | (gates > 0.95)).float().mean() > 0.9
    zeros = PlantedZeros(8)
    zeros(x).square().sum().backward()
    assert all(not one.grad.any() for one in zeros.parameters() if one.grad is not None)
    assert not PlantedDetached(8)(x).requires_grad


def test_faults_last_as_long_as_their_block() -> None:
    places = ((making, "transfer"), (making, "insert"), (train, "step"), (build, "ModelEMA"))
    before = [getattr(place, name) for place, name in places]
    with (
        planted_faults.no_transfer(),
        planted_faults.unshifted_skips(),
        planted_faults.fast_new_rows(),
        planted_faults.young_average(),
    ):
        assert not any(
            getattr(place, name) is former
            for (place, name), former in zip(places, before, strict=True)
        )
    assert [getattr(place, name) for place, name in places] == before


def test_skips_keep_their_numbers() -> None:
    graph = load_graph(ROOT / "models/yolov5n.yaml")
    with planted_faults.unshifted_skips():
        new = making.insert(graph, ["SimAM@backbone.P3"])
    joins = [row[0] for row in new["head"] if row[2] == "Concat"]
    assert joins == [[-1, 6], [-1, 4], [-1, 14], [-1, 10]]
    assert new["head"][-1][0] == [18, 21, 24]


def test_tables() -> None:
    right, wrong = (Case("held", "SE@neck", cause) for cause in ("no gradient", "lambda 512"))
    sentence = "9_SE gets no gradient: none of its 4 tensors has moved."
    planted = planted_rows([(right, [sentence, "x"]), (wrong, [sentence]), (wrong, [])])
    assert [row[-1] for row in planted] == ["yes", "no", "no"]
    healthy = healthy_rows(
        [(Case("held", "SE@neck"), ["AP of x.", "Nothing else stands out."]),
         (Case("held", "SimAM@neck"), [sentence, "Nothing else stands out."])]
    )  # fmt: skip
    assert [row[3:] for row in healthy] == [["none", "1"], ["no gradient", "0"]]
    assert summary(planted, healthy).splitlines()[1] == (
        "held: the planted cause is first in 1 of 3 studies; a cause is named in 1 of 2 arms"
        " without a fault"
    )


@pytest.mark.slow
def test_a_small_study(tmp_path: Path) -> None:
    sizes = Sizes(16, 16, 4, 4, 1, 1, 64, 1, str(write_graph(tmp_path)))
    use_modules(str(MODULES))
    young = planted_faults.young_average
    cases = [
        Case("dev", "PlantedEnergy@index 2", "lambda 512"),
        Case("dev", "SE@index 2", "EMA too young", young),
        Case("dev", "SE@index 2"),
    ]
    for case in cases:
        train_case(tmp_path, case, sizes)
    text = report(tmp_path, cases, 1, tmp_path / "table.md")
    assert "first in 2 of 2 studies; a cause is named in 0 of 1 arms" in text
    assert (tmp_path / "table.md").read_text() == f"{text}\n"
