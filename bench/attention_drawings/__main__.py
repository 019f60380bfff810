"""`python -m bench.attention_drawings [NAME ...]` writes docs/images/attention/NAME.svg."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.attention_drawings.svg import draw
from models.attention._registry import ATTENTION
from utils.errors import UserError, run_main
from utils.files import ROOT, atomic_write

FOLDER = ROOT / "docs/images/attention"


def main(argv: list[str] | None = None) -> None:
    """Draw the modules that are named, or all.

    Raises UserError for a name that does not exist.
    """
    known = sorted({kind.__name__ for kind in ATTENTION.values()})
    names = (sys.argv[1:] if argv is None else argv) or known
    for name in names:
        if name not in known:
            raise UserError(f"{name}: no such attention module; there are {', '.join(known)}")
        write(FOLDER / f"{name}.svg", draw(name))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode())
    print(f"{path}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    sys.exit(run_main(main))
