"""What a running study prints: a line for each event and, on a terminal, a progress bar."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ablation.files import finite_number, read_json
from ablation.results import state
from ablation.study import Cell
from utils.files import read_results
from utils.text import counted, printable

if TYPE_CHECKING:
    from typing import NoReturn

    from tqdm import tqdm

LOOK_INTERVAL = 2.0  # seconds between two looks into the folders of running cells


class Board:
    """Counts the runs of a study and reports on them.

    Args:
        total: number of runs of the study.
        done: number of runs that are already finished.
        epochs: epochs of a run.
    """

    def __init__(self, total: int, done: int, epochs: int) -> None:
        from tqdm import tqdm

        self.total, self.finished, self.epochs = total, done, epochs
        self._looked = time.monotonic()
        self._bar: tqdm[NoReturn] = tqdm(
            total=total,
            initial=done,
            unit="run",
            dynamic_ncols=True,
            disable=None,  # tqdm then shows the bar on a terminal only
            bar_format="{l_bar}{bar}| {n:.1f}/{total} runs [{elapsed} < {remaining}]",
        )

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._bar.write(text) if not self._bar.disable else print(text, flush=True)

    def started(self, cell: Cell) -> None:
        words = {"partial": "continues", "failed": "is tried again"}
        self.say(f"{cell.name} {words.get(state(cell), 'starts')}")

    def done(self, cell: Cell) -> None:
        self.finished += 1
        points = 100 * (finite_number(read_json(cell.folder / "metrics.json").get("map")) or 0.0)
        self.say(
            f"{cell.name} is done: mAP50-95 {points:.2f}; {self.finished} of"
            f" {counted(self.total, 'run')}"
        )

    def failed(self, cell: Cell, reason: str) -> None:
        self.say(f"{cell.name} failed, the others continue: {printable(reason)}")

    def look(self, running: Iterable[Cell]) -> None:
        """Advance the bar by the epochs of the running cells, at most every LOOK_INTERVAL."""
        if self._bar.disable or time.monotonic() - self._looked < LOOK_INTERVAL:
            return
        self._looked = time.monotonic()
        shares = (len(read_results(cell.folder / "results.csv")) / self.epochs for cell in running)
        self._bar.n = min(self.finished + sum(min(share, 1.0) for share in shares), self.total)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()
