"""Processes of tests: two that train together, and workers whose end is noticed soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import dataloader

from utils.files import ROOT


def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch look every 0.2 seconds, and not every 5, whether its workers still live."""
    get = dataloader._MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(get, "__defaults__", (0.2,))


def run_two(code: str, folder: Path) -> str:
    """Run Python code in two processes of one group, with a folder as its argument.

    Returns what the main one printed; a process that fails is an AssertionError.
    """
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2")
    done = subprocess.run(
        [*torchrun, "--no-python", sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:4000]
    return done.stdout
