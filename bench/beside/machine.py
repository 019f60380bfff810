"""What must be known of a machine and of the programs to read a comparison."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench.beside.programs import OURS, Program
from utils.device import cpu_multiplies_bf16
from utils.errors import UserError

ASK_VERSIONS = (
    "import platform; from importlib.metadata import version;"
    " print('Python', platform.python_version(),"
    " *(f'{{name}} {{version(name)}}' for name in {names}))"
)


def processor_name(table: str = "/proc/cpuinfo") -> str:
    """The processor's own name, or the architecture where the system does not tell it."""
    if Path(table).exists():
        for line in Path(table).read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def processor_kind(isa: str) -> str:
    """The table's column: the instructions that oneDNN may use."""
    if isa:
        return f"limited to {isa}"
    return "bf16 instructions" if cpu_multiplies_bf16() else "no bf16 instructions"


def ask_versions(program: Program) -> str:
    """Versions of Python, torch and the program, as its own Python tells them.

    Raises UserError if that Python or one of the packages is missing.
    """
    names = [*([] if program.name == OURS else [program.name.lower()]), "torch", "numpy"]
    words = [program.python, "-c", ASK_VERSIONS.format(names=names)]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise UserError(f"{program.python}: {done.stderr.strip().splitlines()[-1]}")
    return f"{program.name}: {done.stdout.strip()}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
