"""What a program frees stays with it, where the C library can be told so."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from utils import heap

FAULTS = """
import resource, sys
from utils.heap import keep_freed_memory
if sys.argv[1] == "kept":
    print(keep_freed_memory())
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():  # as a network's step does: many maps below 32 MiB, freed together
    maps = [np.ones(20 * 2**18, np.float32) for _ in range(10)]

for _ in range(3):
    step()
before = faults()
step()
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told")
def test_a_step_finds_the_memory_of_the_one_before() -> None:
    def run(how: str) -> list[str]:
        command = [sys.executable, "-c", FAULTS, how]
        return subprocess.check_output(command, text=True).split()

    answer, kept = run("kept")
    assert answer == "True"
    (returned,) = run("returned")
    assert int(kept) * 10 < int(returned)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.SimpleNamespace()  # musl's has no mallopt
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    assert not heap.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "win32")
    assert not heap.keep_freed_memory()
