"""The model of one of several processes: when they average their gradients, and when they do not.

A step of the optimizer may add up the gradients of several batches. Only the last of them needs the
mean over the processes; to exchange each one would cost a multiple of the traffic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from engine.training.run import Run


class SharedNetwork(nn.parallel.DistributedDataParallel):
    """A model whose backward pass averages the gradients over all processes."""

    def __init__(self, model: nn.Module, device_ids: list[int] | None) -> None:
        """Share a model; device_ids names the GPU of this process, None stands for the CPU."""
        super().__init__(model, device_ids=device_ids, static_graph=True)
        self._has_learnt = False

    @contextlib.contextmanager
    def batch(self, steps: bool) -> Iterator[None]:
        """The block of a batch's forward and backward pass.

        A batch after which the optimizer takes no step adds its gradients to those of its process
        alone. The first one of a process is averaged all the same, since torch learns from it which
        parameters have gradients. It changes nothing: what counts is the mean over the processes of
        all that was added up.
        """
        is_averaged, self._has_learnt = steps or not self._has_learnt, True
        with contextlib.nullcontext() if is_averaged else self.no_sync():
            yield


def batch_context(network: nn.Module, steps: bool) -> contextlib.AbstractContextManager[None]:
    """The context of a batch's forward and backward pass.

    Args:
        network: The model as the loop calls it: bare, compiled, or shared by processes.
        steps: Whether the optimizer takes a step after this batch.

    Returns:
        SharedNetwork.batch(), or a context that does nothing.
    """
    shared = getattr(network, "_orig_mod", network)  # inside torch.compile's wrapper
    return shared.batch(steps) if isinstance(shared, SharedNetwork) else contextlib.nullcontext()


def is_agreed(run: Run) -> bool:
    """Whether a state that one process saves between two batches is that of all processes.

    It is not while they add up gradients of their own. Those of an epoch's last batches count for
    nothing if no step followed.
    """
    setup, progress = run.setup, run.state.progress
    batches = len(setup.loaders[0])
    is_after_step = progress.last_step == progress.epoch * batches + progress.batch - 1
    return setup.world.size == 1 or is_after_step or progress.batch in (0, batches)
