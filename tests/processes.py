"""Two processes that train together, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from utils.files import ROOT


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
