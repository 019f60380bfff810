"""Random streams by key: a key always gives the same draws, independent of all other streams."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

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
    """Yield the list of all warnings that this thread raises within the block, and print none.

    Threads take turns, since catch_warnings() alone could leave one thread's filters to all.
    Warnings of threads that do other work meanwhile are shown as ever.
    """
    caught: list[warnings.WarningMessage] = []
    with PROCESS_STATE, warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        owner, show = threading.get_ident(), warnings.showwarning

        def record(*message: Any) -> None:
            if threading.get_ident() == owner:
                caught.append(warnings.WarningMessage(*message))
            else:
                show(*message)

        warnings.showwarning = record  # type: ignore[assignment]
        yield caught
