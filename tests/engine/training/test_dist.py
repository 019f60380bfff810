"""Alone, the group's functions are the identity; batches must divide."""

from __future__ import annotations

import pytest
import torch

from engine.training import dist
from utils.config import TrainConfig
from utils.errors import UserError


def test_alone() -> None:
    world = dist.start()
    assert world == dist.World(0, 1, 0)
    assert world.is_main
    assert dist.any_true(world, True, torch.device("cpu"))
    assert not dist.any_true(world, False, torch.device("cpu"))
    assert dist.broadcast(world, "value") == "value"
    assert dist.own_device(world, "cpu") == "cpu"
    assert dist.own_device(world, "0") == "0"


def test_each_process_gets_its_own_of_the_named_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert [dist.own_device(dist.World(rank, 2, rank), "2,3") for rank in range(2)] == ["2", "3"]
    assert [dist.own_device(dist.World(rank, 2, rank), "") for rank in range(2)] == ["0", "1"]
    assert chosen == [2, 3, 0, 1]
    assert dist.own_device(dist.World(1, 2, 1), "cpu") == "cpu"
    with pytest.raises(UserError, match="names 1 devices"):
        dist.own_device(dist.World(1, 2, 1), "2")


def test_a_world_without_torchrun_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="torchrun"):
        dist.start("cpu")


def test_a_batch_that_does_not_divide_is_refused() -> None:
    assert dist.share_of_batch(dist.World(0, 4, 0), 16) == 4
    with pytest.raises(UserError, match="multiple of the 3"):
        dist.share_of_batch(dist.World(0, 3, 0), 16)


def test_several_processes_refuse_what_only_one_can_do() -> None:
    world = dist.World(0, 2, 0)
    with pytest.raises(UserError, match="--batch-size -1"):
        dist.refuse_alone(world, TrainConfig(batch_size=-1))
    with pytest.raises(UserError, match="--image-weights"):
        dist.refuse_alone(world, TrainConfig(image_weights=True))
    dist.refuse_alone(dist.World(), TrainConfig(image_weights=True, batch_size=-1))


def test_a_process_lost_before_the_first_batch_is_one_line() -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:554] Connection closed by peer [::1]:7")
    for error in (lost, torch.distributed.DistStoreError("wait timeout")):
        with pytest.raises(UserError, match="has ended before the first"), dist.peers_needed():
            raise error
    with pytest.raises(RuntimeError, match="a bug"), dist.peers_needed():
        raise RuntimeError("a bug")
