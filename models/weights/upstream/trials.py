"""A bound on the work of recognising the modules of a foreign file.

models/weights/upstream/identify.py and plain.py build modules of ours to compare them with tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.errors import UserError

MAX_TRIALS = 1500  # modules built for one file, a millisecond each; known models need some dozens


@dataclass(slots=True)
class Trials:
    """How many modules may still be built to recognise the rows of one file."""

    left: int = MAX_TRIALS

    def count(self) -> None:
        """Count one. Raises UserError if none is left, so that no file takes minutes."""
        self.left -= 1
        if self.left < 0:
            raise UserError(
                "has too many modules that no name tells; give the file with its classes as"
                " --modules, or a state dict saved in its own program with --cfg"
            )
