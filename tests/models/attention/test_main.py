"""`python -m models.attention` runs models/costs/glance.py."""

from __future__ import annotations

import runpy
import sys

import pytest


def test_it_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By runpy, as `python -m` does it; a process of its own takes seconds to start."""
    monkeypatch.setattr(sys, "argv", ["models.attention", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("models.attention", run_name="__main__", alter_sys=True)
    assert not end.value.code
    assert "--channels" in capsys.readouterr().out
