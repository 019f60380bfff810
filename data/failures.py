"""The images that cannot be read during a run: how many, which ones, and when it must stop.

A few unreadable images are noted, and the run goes on without them. When a network share drops out,
or a folder is moved, what would be learnt or scored is another data set than the user believes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from utils.text import printable

MOST_LOST = 0.01  # share of an epoch's images that may be missing
NAMED = 3  # images that are named in a sentence
TOLD = 5  # images that are told on the terminal one by one
REASON_WIDTH = 200  # characters


@dataclass
class LostImages:
    """The images that could not be read, over the run and in the current epoch.

    Attributes:
        total: Number of images of an epoch.
        reasons: Path -> the reason, in the order in which they failed.
        whole_batch: Number of images of a batch of which none could be read, or 0.
    """

    total: int
    reasons: dict[str, str] = field(default_factory=dict)
    whole_batch: int = 0
    _epoch: set[str] = field(default_factory=set)
    _noted: int = 0

    @classmethod
    def together(cls, parts: Sequence[LostImages]) -> LostImages:
        """The images that several processes missed which read different ones of the same total."""
        reasons = {path: reason for part in parts for path, reason in part.reasons.items()}
        epoch = {path for part in parts for path in part._epoch}
        whole_batch = max(part.whole_batch for part in parts)
        return cls(parts[0].total, reasons, whole_batch, epoch)

    def start_epoch(self) -> None:
        """Count the images of a new epoch."""
        self._epoch.clear()
        self.whole_batch = 0

    def add(self, failures: Sequence[tuple[str, str]], read: int, batch_size: int) -> list[str]:
        """Count the images of a batch that were not read.

        Args:
            failures: (path, reason) of each.
            read: Number of images that were read for this batch.
            batch_size: Number of items of the batch.

        Returns:
            The paths that had not failed before.
        """
        new = [path for path, _ in failures if path not in self.reasons]
        self.reasons.update((path, reason) for path, reason in failures if path in new)
        self._epoch.update(path for path, _ in failures)
        if failures and not read and batch_size > 1:
            self.whole_batch = batch_size
        return new

    @property
    def too_many(self) -> bool:
        """Whether so many images are missing that the run must stop."""
        return self.whole_batch > 0 or len(self._epoch) > MOST_LOST * self.total

    def stop_reason(self) -> str:
        """What is missing, for the error that ends a run."""
        first = next((path for path in self.reasons if path in self._epoch), "")
        where = f"the first: {_told(first, self.reasons[first])}" if first else "in another process"
        if self.whole_batch:
            return f"none of the {self.whole_batch} images of a batch can be read; {where}"
        return (
            f"{len(self._epoch):,} of {self.total:,} images cannot be read, more than"
            f" {MOST_LOST:.0%}; {where}"
        )

    def forget(self, paths: Iterable[str]) -> None:
        """Take back the newest images, those of a batch that is not used."""
        for path in paths:
            del self.reasons[path]

    def take_new(self) -> dict[str, str]:
        """The images that failed for the first time since the last call, with the reasons."""
        new = dict(islice(self.reasons.items(), self._noted, None))
        self._noted = len(self.reasons)
        return new


def lost_sentence(what: str, reasons: Mapping[str, str], consequence: str) -> str:
    """A sentence that counts images that could not be read, and names the first.

    Args:
        what: The kind of images, such as "training images".
        reasons: Path -> the reason.
        consequence: What became of them.
    """
    named = "; ".join(_told(*item) for item in islice(reasons.items(), NAMED))
    more = f"; and {len(reasons) - NAMED:,} more" if len(reasons) > NAMED else ""
    return f"{len(reasons):,} {what} could not be read ({named}{more}); {consequence}"


def _told(path: str, reason: str) -> str:
    return f"{printable(path)}: {printable(reason, REASON_WIDTH)}"
