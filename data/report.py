"""The report of a data set's scan: data/scanning fills it, programs print and save it.

Nothing is dropped silently: there is an Entry for every image that is left out, every row that is
dropped and every oddity that is kept.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from utils.files import atomic_write
from utils.text import counted, csv_cell, display_width, fit, printable
from utils.typed import first_misfit

LEFT_OUT = "image left out"
DROPPED = "row dropped"
KEPT_AS_IS = "kept"
SIZES_DIFFER = "image sizes differ"  # an annotation states another size than the image has
IGNORED = "object ignored"  # neither learnt nor scored
EXAMPLE_WIDTH = 60  # characters of a path in the table; the CSV file has the whole path
COUNTS = ("total", "found", "missing", "empty", "corrupt")
JSON_HINTS = {**dict.fromkeys(COUNTS, int), "entries": list[list[Any]], "notes": list[str]}
ENTRY_TYPES = [str, int, str, str, str]  # of an entry's fields


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding of the scan.

    Attributes:
        file: The image or label file.
        row: Row of the label file, from 1; 0 is the file as a whole.
        action: LEFT_OUT, DROPPED, KEPT_AS_IS or IGNORED.
        kind: The kind of finding, with the same text for all of a kind.
        detail: The facts of this entry.
    """

    file: str
    row: int
    action: str
    kind: str
    detail: str = ""

    @property
    def reason(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True, slots=True)
class ScanReport:
    """Counts and entries of one split.

    Attributes:
        total: Number of images listed.
        found, missing: Images with and without a label file.
        empty: Label files without a row.
        corrupt: Images that are left out.
        origin: Whether the labels come from a scan or the cache, as text.
        entries: All findings.
        notes: Sentences about the split as a whole.
    """

    total: int = 0
    found: int = 0
    missing: int = 0
    empty: int = 0
    corrupt: int = 0
    origin: str = "scanned"
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def join(cls, parts: Sequence[ScanReport]) -> ScanReport:
        """The report of all parts of a split: sums of the counts, and all entries and notes."""
        counts = {name: sum(getattr(part, name) for part in parts) for name in COUNTS}
        entries = tuple(entry for part in parts for entry in part.entries)
        return cls(**counts, entries=entries, notes=tuple(n for part in parts for n in part.notes))

    @property
    def rows_dropped(self) -> int:
        return sum(entry.action == DROPPED for entry in self.entries)

    @property
    def ignored(self) -> dict[str, int]:
        """How many objects of each kind are neither learnt nor scored."""
        return dict(Counter(entry.kind for entry in self.entries if entry.action == IGNORED))

    def summary(self) -> str:
        """A line of counts, and the notes below it."""
        parts = [
            counted(self.total, "image"),
            f"{counted(self.found, 'label file')} ({self.empty:,} empty)",
            f"{self.missing:,} without one (background)",
            f"{counted(self.corrupt, 'image')} left out",
            f"{counted(self.rows_dropped, 'row')} dropped",
            *(
                f"{counted(count, f'{kind} object')}: not scored"
                for kind, count in self.ignored.items()
            ),
        ]
        return "\n".join([f"{', '.join(parts)} [{self.origin}]", *map(printable, self.notes)])

    def table(self) -> str:
        """The summary, and a row for each kind of entry with its first example."""
        counts = Counter((entry.action, entry.kind) for entry in self.entries)
        if not counts:
            return self.summary()
        first: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            first.setdefault((entry.action, entry.kind), entry)
        rows = [("what", "count", "why", "for example")]
        rows += [
            (*key[:1], f"{count:,}", printable(key[1]), _example(first[key]))
            for key, count in counts.most_common()
        ]
        widths = [max(display_width(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  " + "  ".join(map(fit, row, (*widths, 0), ("<", ">", "<", "<"))) for row in rows
        ]
        return "\n".join([self.summary(), *lines])

    def write(self, path: str | Path) -> None:
        """Write every entry as CSV with the columns file, row, action and reason.

        Raises UserError if the file cannot be written.
        """
        with atomic_write(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "row", "action", "reason"))
            for entry in self.entries:
                text = (entry.file, entry.row or "", entry.action, entry.reason)
                writer.writerow([csv_cell(value) for value in text])

    def to_json(self) -> bytes:
        """The report as JSON for the cache."""
        content = asdict(replace(self, entries=()))
        content["entries"] = [(e.file, e.row, e.action, e.kind, e.detail) for e in self.entries]
        return json.dumps(content).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, origin: str) -> ScanReport:
        """The report that to_json wrote, with another origin. Raises ValueError for any other."""
        content: dict[str, Any] = json.loads(data)
        if (
            not isinstance(content, dict)
            or first_misfit(content, JSON_HINTS)
            or any(
                [type(value) for value in values] != ENTRY_TYPES for values in content["entries"]
            )
        ):
            raise ValueError("not a report")
        content["entries"] = tuple(Entry(*values) for values in content["entries"])
        content["notes"] = tuple(content["notes"])
        return cls(**{**content, "origin": origin})


def _example(entry: Entry) -> str:
    file = printable(entry.file)
    name = file if len(file) <= EXAMPLE_WIDTH else "…" + file[1 - EXAMPLE_WIDTH :]
    row = f" row {entry.row}" if entry.row else ""
    return name + row + (f": {printable(entry.detail)}" if entry.detail else "")
