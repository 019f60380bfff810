"""Several processes under torchrun: which one this is, and how they share work and agree.

With a single process nothing is communicated, and values are returned unchanged.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from utils.config import TrainConfig
from utils.device import GPUS, find_devices, select_device, use_device
from utils.errors import UserError

SharedValue = TypeVar("SharedValue")
LOST_PEER = "another process of this training has ended"


@dataclass(frozen=True)
class World:
    """This process among its peers.

    Attributes:
        rank: Its number; 0 is the main process, which prints, writes files and validates.
        size: Number of processes.
        local_rank: Its number on this machine, which selects its device.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def start(wanted: str = "") -> tuple[World, torch.device]:
    """Join the group that torchrun announces in the environment, if there is one.

    The standard output of all processes but rank 0 is discarded.

    Args:
        wanted: --device.

    Returns:
        The group, and the device of this process.

    Raises:
        UserError: The group cannot be formed, or there is no device for each process.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        return World(), select_device(wanted)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    # Every process refuses what one would have to refuse, before any of them waits for another.
    device = own_device(wanted, local_rank)
    use_device(device)  # before the group is formed, which takes memory of the current device
    # The others wait while rank 0 indexes the data or validates, which may take hours.
    try:
        dist.init_process_group(
            backend_of(device),
            timeout=timedelta(hours=3),
            device_id=device if device.type in GPUS else None,
        )
    except ValueError as error:
        raise UserError(
            f"WORLD_SIZE={size}: no process group ({error}); start with torchrun, or unset it"
        ) from None
    if dist.get_rank() > 0:
        # The file has to stay open as long as the process lives.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return World(dist.get_rank(), dist.get_world_size(), local_rank), device


def backend_of(device: torch.device) -> str:
    """The library by which processes with such devices talk: NCCL for CUDA, gloo for the CPU."""
    backend: str = dist.get_default_backend_for_device(device.type)
    return backend if dist.is_backend_available(backend) else "gloo"


def own_device(wanted: str, local_rank: int) -> torch.device:
    """The device of --device that belongs to this process.

    '2,3' gives one of them to each process of a machine, '' and cuda number them from 0. Raises
    UserError if the processes on this machine are more than the devices.
    """
    devices = find_devices(wanted)
    if devices[0].type == "cpu":
        return devices[0]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", local_rank + 1))
    if processes > len(devices):
        names = ", ".join(map(str, devices))
        raise UserError(
            f"--device {wanted or chr(39) * 2}: {processes} processes for {len(devices)} devices"
            f" ({names}); start one for each with --nproc_per_node {len(devices)}, or name more"
        )
    return devices[local_rank]


def stop(world: World) -> None:
    """Leave the group, if there is one."""
    if world.size > 1 and dist.is_initialized():
        with contextlib.suppress(RuntimeError):  # the others may have ended
            dist.destroy_process_group()


def refuse_alone(world: World, config: TrainConfig) -> None:
    """Raise UserError for flags that need a single process, as in YOLOv5."""
    if world.size > 1 and config.batch_size == -1:
        raise UserError(
            "--batch-size -1: the automatic batch size needs a single process; give a number"
        )
    if world.size > 1 and config.image_weights:
        raise UserError("--image-weights: needs a single process; leave it out")


def share_of_batch(world: World, batch_size: int) -> int:
    """This process's part of --batch-size, which counts the images of all processes.

    Raises UserError if the images cannot be divided evenly.
    """
    if batch_size % world.size:
        raise UserError(
            f"--batch-size {batch_size}: must be a multiple of the {world.size} processes"
        )
    return batch_size // world.size


def any_true(world: World, value: bool, device: torch.device) -> bool:
    """Whether the value is true in any process.

    All processes get the same answer, so that none leaves the loop while others wait for it.

    Args:
        world: The processes.
        value: The value in this process.
        device: The device of this process, over which values are exchanged.
    """
    if world.size == 1:
        return value
    flag = torch.tensor(float(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error of torch says that another process of the group has ended."""
    # gloo's own errors have no type of their own, but name its source files.
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


@contextlib.contextmanager
def peers_needed() -> Iterator[None]:
    """In the block, in which a run is prepared, the loss of a process is a UserError of one line.

    From the first batch on, engine/training/ending.py treats it.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        raise UserError(f"{LOST_PEER} before the first batch; start the command again") from None


def broadcast(world: World, value: SharedValue) -> SharedValue:
    """Rank 0's value, in every process."""
    if world.size == 1:
        return value
    holder = [value]
    dist.broadcast_object_list(holder, src=0)
    return holder[0]


def gather(world: World, value: SharedValue) -> list[SharedValue]:
    """The values of all processes in the order of their ranks, in every process."""
    if world.size == 1:
        return [value]
    values: list[SharedValue] = [value] * world.size
    dist.all_gather_object(values, value)
    return values
