"""What all tests share: one thread each unless OMP_NUM_THREADS says otherwise, and no network.

Workers share the cores, so that more threads than one only slow each other.
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch or OpenCV are loaded, and for child processes too
os.environ.setdefault("MPLBACKEND", "Agg")

import socket
from collections.abc import Iterator

import pytest
import torch

from models.own.registry import OWN, say

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class NetworkUsed(AssertionError):
    """A test, or the code under test, reached for another machine."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection that leaves this machine fail loudly: nothing is ever downloaded."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("local", "localhost", "127.0.0.1", "::1"):
            raise NetworkUsed(f"connection to {address!r}")
        return connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _no_own_classes() -> Iterator[None]:
    """Forget a person's own classes after each test: they belong to the whole process."""
    yield
    OWN.clear()
    say.cache_clear()
