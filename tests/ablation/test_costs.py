"""Costs: counted right, timed in turn, measured once."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ablation import costs
from ablation.config import StudyConfig
from ablation.costs import add_training, count_graph, fingerprint, measure_costs, time_in_turn
from ablation.results import Costs
from ablation.study import AA, PLAIN, Arm
from models.yolo import DetectionModel
from tests.ablation.fake import make_cell
from tests.tiny import GRAPH

ARMS = [Arm(PLAIN, (), "", 0), Arm(AA, (), "", 1000), Arm("SE@neck", ("SE@neck",), "paper", 0)]


def tiny_graph(config: StudyConfig, arm: Arm) -> dict[str, Any]:
    """GRAPH, with SE instead of SimAM if the arm has attention."""
    graph: dict[str, Any] = copy.deepcopy(GRAPH)
    if arm.attention:
        graph["backbone"][4][2] = "SE"
    return graph


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Record the passes instead of timing them. The n-th one takes n milliseconds."""
    passes: list[nn.Module] = []

    def time_once(model: nn.Module, x: torch.Tensor) -> float:
        passes.append(model)
        return len(passes) / 1000

    monkeypatch.setattr("models.costs.turns.forward_seconds", time_once)
    monkeypatch.setattr(costs, "arm_graph", tiny_graph)
    monkeypatch.setattr(costs, "GROUP_SECONDS", 0.0)
    return passes


def test_networks_take_turns_and_ratios_are_of_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slows down makes later rounds longer, but does not change the ratio."""
    order: list[str] = []
    networks: dict[str, Any] = {name: object() for name in "abc"}
    names = {id(network): name for name, network in networks.items()}
    factor = {"a": 1.0, "b": 1.5, "c": 0.5}

    def time_once(model: Any, x: Any) -> float:
        order.append(names[id(model)])
        return 2.0 ** ((len(order) - 1) // 3) * factor[order[-1]]

    monkeypatch.setattr("models.costs.turns.forward_seconds", time_once)
    monkeypatch.setattr(costs, "WARM_UP_ROUNDS", 1)
    found = time_in_turn(networks, torch.zeros(1), seconds=0.0)
    assert "".join(order[3:]) == "abc" * costs.MIN_ROUNDS
    assert [found[name][1] for name in "abc"] == [1.0, 1.5, 0.5]
    assert found["a"][0] == 1000 * 2.0**3  # median of 2, 4, 8, 16, 32


def test_counted_costs() -> None:
    found, model = count_graph(GRAPH, 64), DetectionModel(GRAPH)
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    more = count_graph(tiny_graph(StudyConfig(attention=("SE",)), ARMS[2]), 64)
    assert more.parameters > found.parameters
    assert 0 < found.gflops < more.gflops
    assert more.megabytes_moved != found.megabytes_moved
    assert count_graph(GRAPH, 128).gflops == pytest.approx(4 * found.gflops)


def test_measured_once_for_a_study(
    make_config: Callable[..., StudyConfig], quick: list[nn.Module], tmp_path: Path
) -> None:
    config, kept = make_config(), tmp_path / "costs.json"
    first = measure_costs(config, ARMS, kept)
    count = len(quick)
    assert count
    assert first[PLAIN] == first[AA]  # one graph, measured once
    assert first["SE@neck"].parameters > first[PLAIN].parameters
    assert first["SE@neck"].latency_ratio != 1.0
    assert measure_costs(config, ARMS, kept) == first
    assert len(quick) == count
    measure_costs(dataclasses.replace(config, imgsz=96), ARMS, kept)
    assert len(quick) > count


def test_a_damaged_file_is_measured_again(
    make_config: Callable[..., StudyConfig], quick: list[nn.Module], tmp_path: Path
) -> None:
    kept = tmp_path / "costs.json"
    kept.write_text('[{"of": "x"')
    assert set(measure_costs(make_config(), ARMS, kept)) == {PLAIN, AA, "SE@neck"}
    assert len(costs.read_kept(kept)) == 2


def test_all_arms_are_timed_when_few_fit_at_once(
    make_config: Callable[..., StudyConfig], quick: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "GROUP_SIZE", 1)
    assert all(found.latency_ms for found in measure_costs(make_config(), ARMS).values())


def test_latency_is_a_real_time() -> None:
    model = costs.build_fused(GRAPH, torch.device("cpu"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    x = torch.zeros(1, 3, 64, 64)
    # Other programs may disturb a single look.
    looks = (time_in_turn({"one": model, "same": model}, x, seconds=0.0) for _ in range(9))
    found = next(look for look in looks if look["same"][1] == pytest.approx(1, abs=0.9))
    assert 0 < found["one"][0] < 5000


def test_fingerprints_differ_where_costs_do() -> None:
    cpu = torch.device("cpu")
    assert fingerprint(GRAPH, 64, cpu) == fingerprint({**GRAPH, "yaml_file": "other.yaml"}, 64, cpu)
    assert fingerprint(GRAPH, 64, cpu) != fingerprint({**GRAPH, "width_multiple": 0.5}, 64, cpu)


def test_training_is_added_from_the_cells() -> None:
    cells = [make_cell("plain", seed, 0.4) for seed in range(3)]
    slower = dataclasses.replace(
        cells[0], timing={**cells[0].timing, "backward": 0.05}, metrics={"memory_mb": None}
    )
    found = add_training(
        {"plain": Costs(1, 2.0, 3.0), "SE@neck": Costs(1, 2.0, 3.0)}, [slower, *cells[1:]]
    )
    assert found["plain"].memory_mb == 902
    assert found["plain"].train_seconds == pytest.approx((2 * 64 + 20 * 100 * 0.062) / 3)
    assert found["SE@neck"].train_seconds is None


def test_latency_is_measured_on_the_first_device_of_the_study(
    make_config: Callable[..., StudyConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.device] = []

    def cost_graphs(plain: Any, graphs: Any, imgsz: int, device: torch.device) -> dict[str, Costs]:
        seen.append(device)
        return {key: Costs(1, 2.0, 3.0) for key in graphs}

    for name, value in (("is_available", True), ("device_count", 4), ("get_device_name", "GPU")):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(costs, "arm_graph", tiny_graph)
    monkeypatch.setattr(costs, "use_device", seen.append)
    monkeypatch.setattr(costs, "cost_graphs", cost_graphs)
    measure_costs(make_config(device="cuda:3,1"), ARMS)
    assert seen == [torch.device("cuda:3")] * 2
