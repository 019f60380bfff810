"""Random streams by key: a key always gives the same draws, independent of all other streams."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

# PyTorch has one global generator, and Python one list of warning filters, for all threads. A
# thread that builds a model changes both for a moment, so others wait until they are restored.
PROCESS_STATE = threading.RLock()


def key_bytes(*key: int | str) -> bytes:
    """Hash a key to 128 bits; an int and a string of the same spelling differ."""
    return blake2b(
        "\x1f".join(f"{type(part).__name__}:{part}" for part in key).encode(), digest_size=16
    ).digest()


def stream(*key: int | str) -> np.random.Generator:
    """A numpy generator that depends on the key alone, such as stream(seed, epoch, image_index)."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key_bytes(*key), "little")))


@contextlib.contextmanager
def torch_stream(*key: int | str) -> Iterator[None]:
    """Seed torch's CPU generator by the key within the block, and restore its state afterwards."""
    import torch

    with PROCESS_STATE:
        state = torch.random.get_rng_state()
        # manual_seed takes at most 64 bits, and 7 bytes always fit.
        torch.random.default_generator.manual_seed(int.from_bytes(key_bytes(*key)[:7], "little"))
        try:
            yield
        finally:
            torch.random.set_rng_state(state)


@contextlib.contextmanager
def caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Yield the list of all warnings raised within the block; nothing is printed.

    Threads take turns: catch_warnings() alone could leave one thread's filters to all for ever.
    """
    with PROCESS_STATE, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield caught
