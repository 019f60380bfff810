"""compare.py from its command line to its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import compare
from tests.engine.compare.material import write_run, write_ultralytics
from utils.errors import UserError
from utils.files import ROOT


def test_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_run(tmp_path / f"a_{seed}", 0.3 + 0.02 * seed, seed) for seed in range(2)]
    folders += [write_run(tmp_path / "b", 0.4, cfg="b"), write_ultralytics(tmp_path / "u")]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = [*map(str, folders), "--project", str(tmp_path / "out"), "--formats", "svg"]
    found = compare.main([*words, "--labels", "SimAM", "CBAM", "Ultralytics"])
    said = capsys.readouterr().out
    for line in (
        "SimAM: a_0, a_1 are one, since all their settings are the same but seeds 0, 1",
        "31.0 ± 1.4",
        "note: u: is of Ultralytics; only its learning curve is shown",
        "note: SimAM: its weights are gone, so its costs are not known",
        f"Results saved to {tmp_path / 'out' / 'exp'}",
    ):
        assert line in said
    assert (found.folder / "pr_curves.svg").is_file()
    assert r"SimAM & 2 & 31.0 $\pm$ 1.4" in (found.folder / "scores.tex").read_text()
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_missing_folder_is_one_line() -> None:
    with pytest.raises(UserError, match="give the folders of runs"):
        compare.main([])
    with pytest.raises(UserError, match="nowhere: no such folder"):
        compare.main(["nowhere"])


def test_help_needs_no_torch() -> None:
    program = (
        "import sys, runpy\nsys.argv = ['compare.py', '--help']\n"
        "try: runpy.run_path('compare.py', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.endswith("0 False\n"), run.stderr
