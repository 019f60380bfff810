"""The files that a pattern with wildcards stands for, found in bounded time.

The rules are those of Python's glob: `*` and `?` and `[…]` within a name, `**` for any number of
folders, and names that start with a dot only where the pattern says the dot.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from utils.errors import UserError
from utils.text import printable

# Names that are looked at, some 3 s, and how many more for each file that is found. A large data
# set has few others.
MOST_ENTRIES, PER_FILE = 200_000, 5


@dataclass
class _Search:
    """Counts the names that one pattern makes us look at."""

    pattern: str
    origin: str
    looked: int = 0
    found: int = 0

    def entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """What a folder holds, unless it cannot be read. Raises UserError above the bound."""
        try:
            with os.scandir(folder or os.curdir) as entries:
                for entry in entries:
                    self.looked += 1
                    if self.looked > MOST_ENTRIES + PER_FILE * self.found:
                        raise UserError(
                            f"{self.origin}{printable(self.pattern, 200)}: {self.found:,} of"
                            f" {self.looked:,} names fit, and the search was ended; give a"
                            " pattern of fewer folders"
                        )
                    yield entry
        except OSError:  # as in glob, what may not be read is left out
            return

    def walk(self, place: str, parts: tuple[str, ...]) -> Iterator[str]:
        """The paths that match the parts of a pattern, below a place that ends in a separator."""
        if not parts:
            yield place
            return
        head, rest = parts[0], parts[1:]
        if head == "**":
            yield from self.descend(place, rest, ())
        elif glob.has_magic(head):
            for entry in self.entries(place):
                hidden = entry.name.startswith(".") and not head.startswith(".")
                if not hidden and fnmatch.fnmatch(entry.name, head):
                    yield from self._step(place + entry.name, rest)
        else:
            yield from self._step(place + head, rest)

    def _step(self, path: str, rest: tuple[str, ...]) -> Iterator[str]:
        if not rest:
            if os.path.lexists(path):
                yield path
        elif os.path.isdir(path):
            yield from self.walk(os.path.join(path, ""), rest)

    def descend(
        self, place: str, rest: tuple[str, ...], above: tuple[tuple[int, int], ...]
    ) -> Iterator[str]:
        """The matches of `**/rest`: in this folder, and in those below that do not lead back."""
        if rest:
            yield from self.walk(place, rest)
        state = os.stat(place or os.curdir)
        above = (*above, (state.st_dev, state.st_ino))
        for entry in self.entries(place):
            if entry.name.startswith("."):
                continue
            path = place + entry.name
            if not rest:
                yield path
            # A link to a folder is followed, but not to one that we are in, which never ends.
            if _is_new_folder(entry, above):
                yield from self.descend(os.path.join(path, ""), rest, above)


def _is_new_folder(entry: os.DirEntry[str], above: tuple[tuple[int, int], ...]) -> bool:
    try:
        if not entry.is_dir():
            return False
        state = entry.stat()
    except OSError:  # a link to itself, or a folder that has vanished
        return False
    return (state.st_dev, state.st_ino) not in above and os.access(entry.path, os.X_OK)


def matching(pattern: str, wanted: Callable[[str], bool], origin: str = "") -> list[str]:
    """The paths that a pattern stands for, in order and each once.

    Args:
        pattern: A path with wildcards.
        wanted: Says of a path that matches whether it counts.
        origin: What stands in front of an error.

    Raises:
        UserError: Too many names must be looked at for the few that fit.
    """
    search, paths = _Search(pattern, origin), set[str]()
    for path in _matches(search):
        if wanted(path):
            paths.add(path)
            search.found = len(paths)
    return sorted(paths)


def has_match(pattern: str) -> bool:
    """Whether a pattern stands for anything. Raises UserError as matching() does."""
    return glob.has_magic(pattern) and any(True for _ in _matches(_Search(pattern, "")))


def _matches(search: _Search) -> Iterator[str]:
    drive, rest = os.path.splitdrive(search.pattern)
    start = drive + (os.sep if rest.startswith(("/", os.sep)) else "")
    parts = [part for part in rest.replace(os.sep, "/").split("/") if part]
    # Two `**` in a row say the same as one, and would look at everything twice.
    single = [
        part
        for number, part in enumerate(parts)
        if not (part == "**" and number and parts[number - 1] == "**")
    ]
    return search.walk(start, tuple(single))
