"""How long a scan waits for a file: as long as data/watchdog.py allows; then it names the file."""

from __future__ import annotations

import math

from data.watchdog import POLL, VARIABLE, time_limit
from utils.errors import UserError
from utils.text import printable


class Patience:
    """The patience of one wait.

    Attributes:
        poll: Seconds after which the waiting program calls look() again.
    """

    def __init__(self) -> None:
        self._limit = time_limit()
        self.poll = min(POLL, self._limit) if self._limit else POLL
        self._polls, self._seen = 0, object()

    def look(self, state: object, file: str) -> None:
        """Raise UserError if the state of the work has stayed the same for too long.

        Args:
            state: A value that differs if anything has gone on.
            file: The file that is waited for.
        """
        self._polls = self._polls + 1 if state == self._seen else 0
        self._seen = state
        if self._polls >= (math.ceil(self._limit / self.poll) if self._limit else math.inf):
            raise UserError(
                f"{printable(file)}: was waited for {self._limit:g} seconds; check the disk or"
                f" network share, or set {VARIABLE}"
            )
