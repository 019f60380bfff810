"""What the runs of a study noted about their own results, such as images that were left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from utils.text import counted, printable

if TYPE_CHECKING:
    from ablation.results import StudyResult

MOST_NOTES = 10  # notes of single runs, such as early stops, would fill pages
LONGEST_NOTE = 400  # characters


def run_notes(study: StudyResult) -> dict[str, str]:
    """The notes of the finished runs, the most frequent first, each with the number of its runs."""
    counts: Counter[str] = Counter()
    for cell in study.cells:
        notes = cell.metrics.get("notes")
        counts.update(list(dict.fromkeys(map(str, notes if isinstance(notes, list) else []))))
    total = counted(len(study.cells), "run")
    told = {
        printable(note, LONGEST_NOTE): f"{count} of {total}"
        for note, count in counts.most_common(MOST_NOTES)
    }
    left = len(counts) - MOST_NOTES
    return told | ({"…": f"{left} more in the runs' metrics.json"} if left > 0 else {})
