"""tune.py: mistakes in one line, and a search that is killed and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tune
from tests.tiny import run_flags, write_data, write_graph
from utils.errors import run_main
from utils.files import ROOT


def test_without_optuna_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tune, "find_spec", lambda name: None)
    assert run_main(tune.main, ["--trials", "1"]) == 2
    assert capsys.readouterr().err == "error: tune.py: needs Optuna; pip install optuna\n"


@pytest.mark.slow
def test_a_killed_search_goes_on_and_its_best_values_train(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    flags = run_flags(write_graph(tmp_path), write_data(tmp_path), "--noplots", "--epochs", "4")
    more = ["--trials", "3", "--project", str(tmp_path / "tune")]
    command = [sys.executable, str(ROOT / "tune.py"), *flags, *more]
    folder = tmp_path / "tune" / "exp"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not (folder / "trials" / "0001" / "results.csv").exists():
            assert time.monotonic() < deadline
            assert killed.poll() is None
            time.sleep(0.05)
        killed.send_signal(signal.SIGINT)
        assert killed.wait(60) == 130
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert "3 trials: 3 complete" in again.stdout
    assert "resuming" in again.stdout
    best = ["--hyp", str(folder / "best_hyp.yaml"), "--optimizer", "SGD"]
    train = [sys.executable, str(ROOT / "train.py"), *flags, *best]
    assert subprocess.run(train, cwd=tmp_path, timeout=120, check=False).returncode == 0
