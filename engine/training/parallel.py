"""The model of one of several processes: when they average their gradients, and when they do not.

A step of the optimizer may add up the gradients of several batches. Only the last of them needs the
mean over the processes; to exchange each one would cost a multiple of the traffic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.futures import Future

from engine.training.run import Run


class SharedNetwork(nn.parallel.DistributedDataParallel):
    """A model whose backward pass averages the gradients over all processes, or leaves them alone.

    Torch's own no_sync() cannot be used, since it fails in the first batch of a process.
    """

    def __init__(self, model: nn.Module, device_ids: list[int] | None) -> None:
        """Share a model; device_ids names the GPU of this process, None stands for the CPU."""
        super().__init__(model, device_ids=device_ids, static_graph=True)
        self._steps = True
        # Torch accepts no annotations that are text, as all are here.
        self.register_comm_hook(self, lambda network, bucket: exchange(network, bucket))

    @contextlib.contextmanager
    def batch(self, steps: bool) -> Iterator[None]:
        """The block of a batch's forward and backward pass.

        A batch after which the optimizer takes no step adds its gradients to those of its process
        alone. What counts is the mean over the processes of all that was added up.
        """
        self._steps = steps
        yield

    @property
    def is_exchanging(self) -> bool:
        """Whether the gradients of the present batch are averaged over the processes."""
        return self._steps


def exchange(network: SharedNetwork, bucket: GradBucket) -> Future[Tensor]:
    """Average some of a batch's gradients, or return them as they are."""
    if network.is_exchanging:
        return allreduce_hook(network.process_group, bucket)
    done: Future[Tensor] = Future()
    done.set_result(bucket.buffer())
    return done


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
