"""Several processes under torchrun: who am I, wait for the others, agree with them. One process needs none of it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from utils.errors import UserError


@dataclass(frozen=True)
class World:
    """This process among its peers: rank 0 writes files and validates; local_rank picks the GPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def start() -> World:
    """Join the group that torchrun announces through the environment; alone without it. Only rank 0 talks."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(hours=3))
    if dist.get_rank() > 0:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (it is to last as long as the process)
    return World(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))


def stop(world: World) -> None:
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def device_of(world: World, chosen: torch.device) -> torch.device:
    """Each process its own GPU; on CPU all share it."""
    if world.size == 1 or chosen.type != "cuda":
        return chosen
    device = torch.device(f"cuda:{world.local_rank}")
    torch.cuda.set_device(device)
    return device


def share_of_batch(world: World, batch_size: int) -> int:
    """Pictures a step for this process; the flag counts all processes. Raises UserError if they do not divide."""
    if batch_size % world.size:
        raise UserError(f"--batch-size {batch_size}: must be a multiple of the {world.size} processes")
    return batch_size // world.size


def any_true(world: World, value: bool, device: torch.device) -> bool:
    """True everywhere if it is true for one, so that no process leaves the loop alone."""
    if world.size == 1:
        return value
    flag = torch.tensor(float(value), device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def broadcast(world: World, value: object) -> object:
    """Rank 0's plain value for everybody."""
    if world.size == 1:
        return value
    holder = [value]
    dist.broadcast_object_list(holder, src=0)
    return holder[0]
