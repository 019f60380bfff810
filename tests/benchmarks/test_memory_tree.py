"""The memory of a program is that of all its processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory_tree import PROC, watch_memory

CHILD = "import time; block = bytearray(b'1' * 40_000_000); time.sleep(0.6)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}], check=True)"


@pytest.mark.skipif(not (PROC / "self" / "smaps_rollup").is_file(), reason="needs Linux")
def test_children_count(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT]) as child:
        sizes = watch_memory(child, 20)
    assert len(sizes) == 2
    assert 40 < sizes[0] < 120
    assert sizes[1] < 40
