"""Random streams by key: the same key gives the same draws, whatever was drawn elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np


def key_bytes(*key: int | str) -> bytes:
    """128 bits that stand for the key; an int and a string of the same spelling differ."""
    return blake2b(
        "\x1f".join(f"{type(part).__name__}:{part}" for part in key).encode(), digest_size=16
    ).digest()


def stream(*key: int | str) -> np.random.Generator:
    """A numpy generator that depends on the key alone, such as stream(seed, epoch, image_index)."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key_bytes(*key), "little")))


@contextlib.contextmanager
def torch_stream(*key: int | str) -> Iterator[None]:
    """Within the block torch's CPU generator depends on the key; afterwards it is as before."""
    import torch

    state = torch.random.get_rng_state()
    torch.random.default_generator.manual_seed(int.from_bytes(key_bytes(*key)[:7], "little"))
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
