"""What a scan of a data set met: filled by data/scanning, kept in DatasetIndex.report, printed and
saved by programs.

Nothing is dropped in silence: every image left out, every row dropped and every oddity kept is an
Entry.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from utils.files import atomic_write

LEFT_OUT = "image left out"
DROPPED = "row dropped"
KEPT = "kept"
EXAMPLE_WIDTH = 60  # characters of an example's path shown in the terminal; the file has all of it


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing met. row counts from 1 within the label file; 0 is the file as a whole."""

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

    total: images listed. found, missing: label files that are there or not. empty: label files
    without a row. corrupt: images left out. origin: where the labels come from this time (a scan
    or the cache). notes: sentences on the split as a whole.
    """

    total: int = 0
    found: int = 0
    missing: int = 0
    empty: int = 0
    corrupt: int = 0
    origin: str = "scanned"
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows_dropped(self) -> int:
        return sum(entry.action == DROPPED for entry in self.entries)

    def summary(self) -> str:
        """One line of counts, and the notes."""
        parts = [
            f"{self.total:,} images",
            f"{self.found:,} label files ({self.empty:,} empty)",
            f"{self.missing:,} without one (background)",
            f"{self.corrupt:,} images left out",
            f"{self.rows_dropped:,} rows dropped",
        ]
        return "\n".join([f"{', '.join(parts)} [{self.origin}]", *self.notes])

    def table(self) -> str:
        """The summary and, if there is anything to tell, a row for each kind of entry with its
        first example.
        """
        counts = Counter((entry.action, entry.kind) for entry in self.entries)
        if not counts:
            return self.summary()
        first: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            first.setdefault((entry.action, entry.kind), entry)
        rows = [("what", "count", "why", "for example")]
        rows += [
            (*key[:1], f"{count:,}", key[1], _example(first[key]))
            for key, count in counts.most_common()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:<{widths[2]}}  {d}" for a, b, c, d in rows
        ]
        return "\n".join([self.summary(), *lines])

    def write(self, path: str | Path) -> None:
        """Write every entry as CSV with the columns file, row, action, reason.

        Raises UserError if it cannot.
        """
        with atomic_write(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "row", "action", "reason"))
            for entry in self.entries:
                text = (entry.file, entry.row or "", entry.action, entry.reason)
                writer.writerow([_printable(value) for value in text])

    def to_json(self) -> bytes:
        """For the cache; from_json gives the same report back."""
        content = asdict(replace(self, entries=()))
        content["entries"] = [(e.file, e.row, e.action, e.kind, e.detail) for e in self.entries]
        return json.dumps(content).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, origin: str) -> ScanReport:
        content: dict[str, Any] = json.loads(data)
        content["entries"] = tuple(Entry(*values) for values in content["entries"])
        content["notes"] = tuple(content["notes"])
        return cls(**{**content, "origin": origin})


def _printable(value: object) -> str:
    """Text that any terminal or UTF-8 file takes: file names may hold bytes that are no text."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _example(entry: Entry) -> str:
    file = _printable(entry.file)
    name = file if len(file) <= EXAMPLE_WIDTH else "…" + file[1 - EXAMPLE_WIDTH :]
    row = f" row {entry.row}" if entry.row else ""
    return name + row + (f": {_printable(entry.detail)}" if entry.detail else "")
