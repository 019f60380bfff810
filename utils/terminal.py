"""Whether a person watches an output. Programs without a console have no output at all."""

from __future__ import annotations

import sys
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; pythonw and services have None as stdout and stderr."""
    asks = getattr(stream, "isatty", None)  # a stream of another program may lack the method
    return asks is not None and bool(asks())


def has_errors() -> bool:
    """Whether stderr exists, to which progress bars are written."""
    return sys.stderr is not None
