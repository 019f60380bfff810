"""Alone, the group's functions are the identity; batches must divide."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from unittest import mock

import pytest
import torch

from engine.training import dist
from engine.training.build import wrap
from utils.config import TrainConfig
from utils.errors import UserError


def test_alone() -> None:
    world, device = dist.start("cpu")
    assert (world, device) == (dist.World(0, 1, 0), torch.device("cpu"))
    assert world.is_main
    assert dist.any_true(world, True, torch.device("cpu"))
    assert not dist.any_true(world, False, torch.device("cpu"))
    assert dist.broadcast(world, "value") == "value"
    with pytest.raises(UserError, match="torchrun --nproc_per_node 2"), gpus(4):
        dist.start("0,1")


@contextlib.contextmanager
def gpus(count: int) -> Iterator[None]:
    """A machine with these CUDA devices, on which nothing is computed."""
    with (
        mock.patch("torch.cuda.is_available", return_value=count > 0),
        mock.patch("torch.cuda.device_count", return_value=count),
        mock.patch.dict("os.environ"),
    ):
        yield


def started(wanted: str, local_rank: int, processes: int) -> tuple[torch.device, list[object]]:
    """The device of one of some processes, and what torch was asked for in turn."""
    calls: list[object] = []
    os.environ.update(
        {"WORLD_SIZE": str(processes), "LOCAL_RANK": str(local_rank)}
        | {"LOCAL_WORLD_SIZE": str(processes)}
    )

    def form(backend: str, **options: object) -> None:
        calls.append((backend, options["device_id"]))

    with (
        mock.patch("torch.accelerator.set_device_index", calls.append),
        mock.patch.object(torch.distributed, "init_process_group", form),
        mock.patch.object(torch.distributed, "get_rank", return_value=0),
        mock.patch.object(torch.distributed, "get_world_size", return_value=processes),
    ):
        world, device = dist.start(wanted)
    assert (world.size, world.local_rank) == (processes, local_rank)
    return device, calls


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [("2,3", (2, 3)), ("cuda:3, 1", (3, 1)), ("", (0, 1)), ("cuda", (0, 1)), ("1,0,2", (1, 0))],
)
def test_each_process_has_its_own_device_before_it_joins_the_group(
    wanted: str, numbers: tuple[int, ...]
) -> None:
    with gpus(4):
        for local_rank, number in enumerate(numbers):
            own = torch.device("cuda", number)
            assert started(wanted, local_rank, 2) == (own, [own, ("nccl", own)])
        assert started("cpu", 1, 2) == (torch.device("cpu"), [("gloo", None)])
    with gpus(0):
        assert started("", 1, 2) == (torch.device("cpu"), [("gloo", None)])


@pytest.mark.parametrize(("wanted", "count"), [("2", 1), ("1,3", 2), ("", 2), ("cuda", 2)])
def test_too_few_devices_are_one_line_of_every_process(wanted: str, count: int) -> None:
    with gpus(4 if wanted[:1].isdecimal() else 2):
        for local_rank in range(3):
            said = rf"3 processes for {count} devices \(cuda:\d.*--nproc_per_node {count}, or name"
            with pytest.raises(UserError, match=said):
                started(wanted, local_rank, 3)
    with pytest.raises(UserError, match="--device 0,1: 0 CUDA devices are visible"), gpus(0):
        started("0,1", 0, 2)


def test_the_model_of_a_process_is_wrapped_for_the_device_that_it_is_on() -> None:
    """The number of a process is not that of its device."""
    wrapped = mock.Mock()
    world, own = dist.World(0, 2, 0), torch.device("cuda:2")
    with mock.patch("engine.training.build.SharedNetwork", wrapped):
        wrap(torch.nn.Identity(), TrainConfig(), world, own)  # type: ignore[arg-type]
        wrap(torch.nn.Identity(), TrainConfig(), world, torch.device("cpu"))  # type: ignore[arg-type]
    assert [call.args[1] for call in wrapped.call_args_list] == [[2], None]


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
