"""Several processes exchange gradients once for each step, and stop where they agree."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import nn

from engine.training.dist import World
from engine.training.parallel import SharedNetwork, batch_context, is_agreed
from engine.training.run import Progress, Run


@pytest.fixture
def group() -> Iterator[None]:
    """A group of this process alone."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("starts_with_a_step", [True, False])
def test_gradients_are_exchanged_in_the_batch_that_steps(
    group: None, starts_with_a_step: bool
) -> None:
    network, exchanged = SharedNetwork(nn.Linear(3, 2), None), []

    def count(_state, bucket):
        exchanged[-1] += 1
        done = torch.futures.Future()
        done.set_result(bucket.buffer() * 2)
        return done

    network.register_comm_hook(None, count)
    for steps in (starts_with_a_step, False, False, True):
        exchanged.append(0)
        with batch_context(network, steps):
            network(torch.ones(1, 3)).sum().backward()
    assert [number > 0 for number in exchanged] == [True, False, False, True]
    # Each exchange doubles all that was added up before it.
    assert network.module.weight.grad.tolist() == [[(1 * 2 + 1 + 1 + 1) * 2.0] * 3] * 2


def test_a_model_of_one_process_needs_no_context() -> None:
    with batch_context(nn.Linear(3, 2), steps=False):
        pass


def test_processes_agree_after_a_step_and_at_the_ends_of_an_epoch() -> None:
    def agreed(size: int, batch: int, last_step: int) -> bool:
        setup = SimpleNamespace(world=World(0, size, 0), loaders=([None] * 5, None))
        progress = Progress(epoch=2, batch=batch, last_step=last_step)
        state = SimpleNamespace(progress=progress)
        return is_agreed(cast(Run, SimpleNamespace(setup=setup, state=state)))

    assert agreed(2, batch=3, last_step=12)
    assert not agreed(2, batch=4, last_step=12)
    assert agreed(2, batch=5, last_step=12)
    assert agreed(2, batch=0, last_step=12)
    assert agreed(1, batch=4, last_step=12)
