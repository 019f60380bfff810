"""Networks are timed in turn, and passes before the measurement do not count."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.costs import turns


def test_rounds_run_each_network_once_until_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    networks = {name: nn.Identity() for name in "ab"}
    inputs = {"a": torch.zeros(1), "b": torch.zeros(2)}

    def pretend(model: nn.Module, x: torch.Tensor) -> float:
        name = next(name for name, own in networks.items() if own is model)
        assert x is inputs[name]
        order.append(name)
        return float(len(order))

    monkeypatch.setattr(turns, "forward_seconds", pretend)
    found = turns.seconds_in_turn(networks, inputs, 2, 3)
    assert "".join(order) == "ab" * 5
    assert found == {"a": [5, 7, 9], "b": [6, 8, 10]}
    found = turns.seconds_in_turn(networks, inputs, 0, 9, lambda done: done == 4)
    assert [len(own) for own in found.values()] == [4, 4]


def test_seconds_are_those_of_a_pass() -> None:
    (own,) = turns.seconds_in_turn({"a": nn.Identity()}, {"a": torch.zeros(1)}, 1, 2).values()
    assert len(own) == 2
    assert all(0 < seconds < 5 for seconds in own)
