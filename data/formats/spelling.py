"""Label files whose names differ from the expected ones in case or in the form of accents.

Systems that ignore case (Windows, macOS) find `Labels/A.TXT` for `labels/a.txt`, and macOS may
write the letter é as two signs; a data set that was made there would lose such labels on Linux.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from data.report import KEPT_AS_IS, Entry

Listing = dict[str, dict[str, str]]  # folder -> spelling without case -> name as it is


def find_spellings(paths: Sequence[str]) -> tuple[list[str], tuple[Entry, ...]]:
    """The names under which expected label files exist.

    Each folder is listed once, and no file is opened.

    Args:
        paths: Where label files are expected.

    Returns:
        The paths, those of differing names replaced, and an entry for each of these.
    """
    listings: Listing = {}
    names: dict[str, frozenset[str]] = {}
    found, entries = [], []
    for path in paths:
        folder, _, name = path.rpartition(os.sep)
        if folder not in names:
            names[folder] = frozenset(_names_in(folder))
        other = "" if name in names[folder] else _other_spelling(folder, name, listings)
        if other:
            entries.append(Entry(other, 0, KEPT_AS_IS, "label file spelled otherwise", name))
        found.append(other or path)
    return found, tuple(entries)


def accent_forms(text: str) -> list[str]:
    """The forms in which systems write letters with accents, unless there are none."""
    if text.isascii():
        return []
    return [unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]


def _other_spelling(folder: str, name: str, listings: Listing) -> str:
    """The one file that this name means if case and accents' form are ignored, or ""."""
    place = folder if os.path.isdir(folder) else _other_folder(folder, listings)
    match = _match(place, name, listings)
    return os.path.join(place, match) if match else ""


def _other_folder(folder: str, listings: Listing) -> str:
    """The folder in which `labels` is spelled otherwise, such as Labels; else the same one."""
    head, labels, tail = f"{folder}{os.sep}".rpartition(f"{os.sep}labels{os.sep}")
    match = _match(head, "labels", listings) if labels else ""
    return os.path.join(head, match, tail).rstrip(os.sep) if match else folder


def _match(folder: str, name: str, listings: Listing) -> str:
    """The one name in a folder with the key of this name, or ""."""
    if folder not in listings:
        table = listings[folder] = {}
        for other in _names_in(folder):  # of several names with a key, any choice might be wrong
            table[_key(other)] = "" if _key(other) in table else other
    return listings[folder].get(_key(name), "")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder or os.sep)
    except (OSError, ValueError):
        return []
