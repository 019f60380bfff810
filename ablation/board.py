"""What a running study tells: a line for each event, and on a terminal a bar of cells with the time
left.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ablation.files import read_json
from ablation.study import Cell, state
from utils.files import read_results

SECONDS = 2.0  # between two looks into the folders of running cells


class Board:
    """Counts cells. total: all of the study. done: those that are finished already. epochs: of a
    cell.
    """

    def __init__(self, total: int, done: int, epochs: int) -> None:
        from tqdm import tqdm

        self.total, self.finished, self.epochs = total, done, epochs
        self._looked = time.monotonic()
        self._bar: Any = tqdm(
            total=total,
            initial=done,
            unit="cell",
            dynamic_ncols=True,
            disable=None,
            bar_format="{l_bar}{bar}| {n:.1f}/{total} cells [{elapsed} < {remaining}]",
        )

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._bar.write(text) if not self._bar.disable else print(text, flush=True)

    def started(self, cell: Cell) -> None:
        words = {"partial": "goes on", "failed": "is tried again"}
        self.say(f"{cell.name} {words.get(state(cell), 'starts')}")

    def done(self, cell: Cell) -> None:
        self.finished += 1
        score = read_json(cell.folder / "metrics.json").get("map") or 0.0
        self.say(
            f"{cell.name} is done: mAP50-95 {100 * score:.2f}; {self.finished} of {self.total}"
            " cells"
        )

    def failed(self, cell: Cell, reason: str) -> None:
        self.say(f"{cell.name} failed, the rest goes on: {reason}")

    def look(self, running: Iterable[Cell]) -> None:
        """Move the bar by what the running cells have written, now and then."""
        if self._bar.disable or time.monotonic() - self._looked < SECONDS:
            return
        self._looked = time.monotonic()
        shares = (len(read_results(cell.folder / "results.csv")) / self.epochs for cell in running)
        self._bar.n = min(self.finished + sum(min(share, 1.0) for share in shares), self.total)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()
