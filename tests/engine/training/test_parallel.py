"""Several processes exchange gradients once for each step, and stop where they agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import nn

from engine.training.dist import World
from engine.training.parallel import SharedNetwork, batch_context, is_agreed
from engine.training.run import Progress, Run
from tests.processes import run_two
from tests.tiny import write_data, write_graph


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


TWO = """
import contextlib, sys, torch
from pathlib import Path
import train
from engine.training import dist, parallel
from engine.training.build import prepare_run
from engine.training.logbook import StepTiming
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters
torch.set_num_threads(1)
folder = Path(sys.argv[1])
config = TrainConfig(
    cfg=str(folder.parent / "tiny.yaml"), data=str(folder.parent / "data.yaml"), imgsz=64,
    batch_size=4, workers=0, device="cpu", project=str(folder), cache="no", noautoanchor=True,
    precision="fp32", optimizer="SGD",
)
run = prepare_run(config, Hyperparameters(nominal_batch=12, warmup_epochs=0, warmup_iterations=0))
if folder.name == "always":
    run.state.network.batch = lambda steps: contextlib.nullcontext()
def weights():
    return torch.cat([one.detach().flatten() for one in run.state.model.parameters()])

start = weights()
train.start_epoch(run.setup, run.state)
agreed = []
for batch in run.setup.loaders[0]:
    train.train_batch(run, batch, StepTiming())
    agreed.append(parallel.is_agreed(run))
assert agreed == [False, False, True, False, False, True, True], agreed  # the epoch ends
end = weights()
assert len(set(dist.gather(run.setup.world, end.double().sum().item()))) == 1
if run.setup.world.is_main:
    torch.save((start, end), folder / "weights.pt")
dist.stop(run.setup.world)
"""


@pytest.mark.slow
def test_two_processes_learn_the_same_with_fewer_exchanges(tmp_path: Path) -> None:
    """Up to the rounding of sums in another order."""
    write_data(tmp_path, train=28, val=2)
    write_graph(tmp_path)
    found = []
    for name in ("always", "once"):
        (tmp_path / name).mkdir()
        run_two(TWO, tmp_path / name)
        found.append(torch.load(tmp_path / name / "weights.pt", weights_only=True))
    (start, end), (other_start, other_end) = found
    assert torch.equal(start, other_start)
    assert (end - start).abs().max() > 1e-3
    torch.testing.assert_close(end, other_end, rtol=1e-5, atol=1e-6)
