"""`python -m models.attention` runs models/costs/glance.py."""

from __future__ import annotations

import subprocess
import sys

from utils.files import ROOT


def test_it_runs() -> None:
    command = [sys.executable, "-m", "models.attention", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "--channels" in run.stdout
