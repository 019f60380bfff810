"""Whether a person watches an output. Programs without a console have no output at all."""

from __future__ import annotations

import os
import sys
from typing import TextIO

BOLD_BLUE, USUAL = "\x1b[1;34m", "\x1b[0m"  # the only sequences that utils/output.py lets pass


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; pythonw and services have None as stdout and stderr."""
    asks = getattr(stream, "isatty", None)  # a stream of another program may lack the method
    return asks is not None and bool(asks())


def heading(text: str) -> str:
    """A text in bold blue where stdout is a terminal, and as it is in a file or a pipe.

    The variable NO_COLOR turns colours off, as in many programs (no-color.org).
    """
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if is_plain or not is_terminal(sys.stdout) else f"{BOLD_BLUE}{text}{USUAL}"


def has_errors() -> bool:
    """Whether stderr exists, to which progress bars are written."""
    return sys.stderr is not None
