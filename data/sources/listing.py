"""The lines of a list given as --source, and what a folder holds besides what is read."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from data.image_formats import UNREAD_SUFFIXES, unread_remedy
from data.sources.names import suffix_of
from data.sources.patterns import has_match
from utils.errors import UserError
from utils.regular_file import open_regular
from utils.text import printable, unquoted

MOST_LIST_BYTES = 50_000_000  # 500,000 paths of 100 bytes
NAMED = 3  # files that a sentence names


def notes_on_folder(folder: Path, read: Sequence[str]) -> list[str]:
    """Sentences on the files of a folder that are not read, with the count and the first names.

    Args:
        folder: The folder; its subfolders are not searched.
        read: The files that are read.
    """
    known = set(read)
    others = sorted(str(path) for path in folder.iterdir() if str(path) not in known)
    hidden = [path for path in others if Path(path).name.startswith(".")]
    folders = [path for path in others if Path(path).is_dir() and path not in hidden]
    images = [path for path in others if suffix_of(path)[1:] in UNREAD_SUFFIXES]
    told = {*hidden, *folders, *images}
    rest = [path for path in others if path not in told]
    remedy = unread_remedy(suffix_of(images[0])[1:]) if images else ""
    kinds = (
        (images, f"images that are not read, left out ({remedy})"),
        (rest, "files that are no images or videos, left out"),
        (hidden, "hidden files, left out"),
        (folders, "subfolders, not searched (FOLDER/** searches them)"),
    )
    return [_sentence(what, paths) for paths, what in kinds if paths]


def source_lines(path: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines of a list, without blank ones, `# comments` and quotes."""
    try:
        with open_regular(path) as file:
            content = file.read(MOST_LIST_BYTES + 1)
        if len(content) > MOST_LIST_BYTES:
            raise UserError(
                f"--source {path}: is larger than {MOST_LIST_BYTES // 1_000_000} MB, so it is no"
                " list of paths; check it, or divide it"
            )
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        rows = content.decode("utf-16" if wide else "utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise UserError(f"--source {path}: is not UTF-8 text; save the list as UTF-8") from None
        reason = getattr(error, "strerror", None) or printable(error, 80)
        raise UserError(f"--source {path}: cannot be read ({reason}); check the path") from None
    return [
        (number, unquoted(row.strip()))
        for number, row in enumerate(rows, 1)
        if row.strip() and not row.startswith("# ")
    ]


def find_line(line: str, folder: Path) -> str:
    """A line of a list as a path that exists; \\ stands for / where no file has that name."""
    spellings = dict.fromkeys((line, line.replace("\\", "/")))
    places = [place for text in spellings for place in (text, str(folder / text))]
    there = (place for place in places if Path(place).exists() or has_match(place))
    return next(there, places[1])


def _sentence(what: str, paths: Sequence[str]) -> str:
    names = ", ".join(printable(Path(path).name, 60) for path in paths[:NAMED])
    return f"{what}: {len(paths):,} ({names}{', …' if len(paths) > NAMED else ''})"
