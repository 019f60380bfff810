"""Runs a notebook without Jupyter: its code cells, in their order, as one Python program.

    python -m tests.notebooks examples/compare_attention.ipynb

Notebooks of this project use plain Python only, no `!command` and no `%magic`, so that they need
nothing that the project does not need.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook, with their stored outputs."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def run_notebook(notebook: Path, limit_s: float = 400) -> str:
    """Run a notebook from its own folder, as Jupyter does, and return what it prints.

    Raises AssertionError, with the end of the output, if a cell fails.
    """
    program = "\n\n".join(source(cell) for cell in code_cells(notebook))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=notebook.parent,
        env={**os.environ, "MPLBACKEND": "Agg"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, f"{notebook.name}:\n{done.stdout[-3000:]}"
    return done.stdout


if __name__ == "__main__":
    print(run_notebook(Path(sys.argv[1]).absolute()))
