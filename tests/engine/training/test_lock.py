"""A locked folder is refused to another program, and no lock outlives its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.training.lock import LOCK_FILE, FolderLock
from utils.errors import UserError
from utils.files import ROOT

HOLD = """
import os, sys
from pathlib import Path
from engine.training.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
if os.fork() == 0:  # a loader worker, which lives on when its parent is killed
    sys.stdin.read()
    os._exit(0)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_run_in_a_folder_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    try:
        with pytest.raises(UserError, match=f"process {process.pid} is training in this folder"):
            FolderLock(tmp_path, wait=0.2)
    finally:
        process.kill()
        process.wait()
    FolderLock(tmp_path, wait=0).close()
    process.stdin.close()  # type: ignore[union-attr]
    assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())


def test_a_folder_that_cannot_be_locked_is_one_line(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        FolderLock(tmp_path)
