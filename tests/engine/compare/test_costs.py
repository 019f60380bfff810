"""Parameters, GFLOPs and time of the groups' networks, and how they were measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from engine.compare import costs
from engine.compare.groups import RunGroup
from engine.compare.runs import ComparedRun
from engine.compare.settings import CompareConfig
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import write_graph

CONFIG = CompareConfig(device="cpu", batch_size=2, warmup=1, rounds=3)


@pytest.fixture
def groups(tmp_path: Path) -> list[RunGroup]:
    run = ComparedRun(tmp_path, "train.py", {"imgsz": 64}, weights=write_graph(tmp_path))
    lost = dataclasses.replace(run, weights=None)
    damaged = dataclasses.replace(run, weights=tmp_path / "gone.yaml")
    return [RunGroup("own", (run,)), RunGroup("lost", (lost,)), RunGroup("damaged", (damaged,))]


def test_a_network_is_counted_and_timed_and_a_lost_one_is_a_note(groups: list[RunGroup]) -> None:
    found = costs.measure_networks(groups, CONFIG)
    assert list(found.by_label) == ["own"]
    own, model = found.by_label["own"], DetectionModel(load_graph(groups[0].runs[0].weights))
    assert own.parameters == sum(one.numel() for one in model.parameters())
    assert own.milliseconds is not None
    assert own.images_per_second == pytest.approx(1000 / own.milliseconds)
    for words in ("64 × 64 pixels", "on cpu, 1 threads", "batch 2", "3 rounds after 1 warm-up"):
        assert words in found.conditions
    assert [note.split(":")[0] for note in found.notes] == ["lost", "damaged"]


def test_time_is_the_median_after_the_warm_up_in_turn(
    groups: list[RunGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([9.0, 9.0, 0.1, 4.0, 0.7, 5.0, 0.2, 6.0])
    shapes = []

    def pretend(model: torch.nn.Module, x: torch.Tensor) -> float:
        shapes.append(tuple(x.shape))
        return next(seconds)

    monkeypatch.setattr("models.costs.turns.forward_seconds", pretend)
    model = DetectionModel(load_graph(groups[0].runs[0].weights))
    times = costs.time_networks({"a": model, "b": model}, (2, 64), CONFIG)
    assert times == {"a": 0.2, "b": 5.0}
    assert set(shapes) == {(2, 3, 64, 64)}


def test_nothing_is_timed_on_request(groups: list[RunGroup]) -> None:
    found = costs.measure_networks(groups[:1], dataclasses.replace(CONFIG, notime=True))
    assert found.by_label["own"].milliseconds is None
    assert "milliseconds" not in found.conditions
