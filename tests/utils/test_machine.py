"""The cores that a process may use, and the processes beside it."""

import os
from pathlib import Path

import pytest

from utils.machine import processes_here, usable_cores


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("350000 100000", 4), ("20000 100000", 1), ("max 100000", 8), ("", 8), ("9 0", 8)],
)
def test_a_container_may_have_fewer_cores(
    quota: str, cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr("utils.machine.CONTROL_GROUP", tmp_path)
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores() == cores


def test_torchrun_says_how_many_processes_share_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert processes_here() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert processes_here() == 4
