"""The report of a transfer of weights, tensor by tensor, printed as one line or a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from utils.tables import text_table


@dataclass(frozen=True, slots=True)
class TensorOutcome:
    """The result of a transfer for one tensor of the model.

    Attributes:
        key: state-dict key.
        row: number of the model's row.
        source: number of the checkpoint's row that corresponds, None if none does.
        fresh: why the tensor, or which part of it, starts fresh; "" if all of it was copied.
        in_part: whether a part of it was copied.
    """

    key: str
    row: int
    source: int | None
    fresh: str = ""
    in_part: bool = False


@dataclass(frozen=True)
class TransferReport:
    """The result of a transfer.

    Attributes:
        outcomes: one for each tensor of the model.
        modules: names of the modules of the model's rows.
        held: number of tensors in the checkpoint.
        used: how many of these were copied.
        by_name: how many tensors would match by the names of YOLOv5 and YOLOv8.
        classes: for each class of the model its number in the checkpoint, None if it is not there.
    """

    outcomes: tuple[TensorOutcome, ...]
    modules: tuple[str, ...]
    held: int
    used: int
    by_name: int
    classes: tuple[int | None, ...] = field(default=(), repr=False)

    @property
    def total(self) -> int:
        """Number of tensors of the model."""
        return len(self.outcomes)

    @property
    def copied(self) -> int:
        """Number of tensors of the model that came from the checkpoint as a whole."""
        return sum(not outcome.fresh for outcome in self.outcomes)

    @property
    def fresh(self) -> list[str]:
        """Keys of the tensors that were not copied, or only in part."""
        return [outcome.key for outcome in self.outcomes if outcome.fresh]

    def line(self, origin: str | Path = "the checkpoint") -> str:
        """The result in one line, which names `origin`, the checkpoint's file."""
        share = 100 * self.copied // max(self.total, 1)
        text = f"Transferred {self.copied} of {self.total} tensors ({share} %) from {origin}"
        parts = sum(outcome.in_part for outcome in self.outcomes)
        if parts:
            text += f", {parts} more in part"
        elif self.used == self.held and self.copied < self.total:
            text += ", all that it holds"
        if self.by_name < self.copied:
            text += f"; matching by name would give {self.by_name}"
        return text

    def table(self, everything: bool = True) -> str:
        """A table of the rows: where their weights came from, and what starts fresh.

        everything=False leaves out rows in which nothing starts fresh.
        """
        rows = []
        for number, module in enumerate(self.modules):
            mine = [outcome for outcome in self.outcomes if outcome.row == number]
            fresh = [outcome for outcome in mine if outcome.fresh]
            if mine and (everything or fresh):
                source = "none" if mine[0].source is None else f"row {mine[0].source}"
                count = f"{len(mine) - len(fresh)} of {len(mine)}"
                rows.append((f"row {number}", module, source, count, _reasons(fresh)))
        header = ("model", "module", "from", "tensors", "starts fresh")
        return text_table(header, rows, max_width=100)


def _reasons(fresh: Iterable[TensorOutcome]) -> str:
    """Tensors that start fresh, by reason, with the name of the first for each."""
    reasons: dict[str, list[str]] = {}
    for outcome in fresh:
        # Keys are model.ROW.NAME, and the table already shows the row.
        reasons.setdefault(outcome.fresh, []).append(outcome.key.split(".", 2)[2])
    return "; ".join(
        f"{keys[0]}{f' and {len(keys) - 1} more' if keys[1:] else ''}: {reason}"
        for reason, keys in reasons.items()
    )
