"""Files: atomic writes, results.csv, and folders of runs."""

from __future__ import annotations

import contextlib
import csv
import errno
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml

from utils.errors import UserError
from utils.public_weights import remedy_for
from utils.regular_file import kind_of
from utils.text import printable
from utils.writing import OutputError, sweep, synced_file, temporary_beside

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside path; on success sync it and rename it to path.

    After a crash at any instant, path has either its old or its complete new content. Raises
    OutputError, a UserError, if the disk is full or read-only; the old file is then intact.
    """
    path = Path(path)
    _check_signs(path)
    temporary = temporary_beside(path)
    try:
        with synced_file(temporary, mode) as file:
            yield file
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(path, error) from None
    finally:
        # Where a folder has vanished or become read-only, this fails too, and the line above says
        # why.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power failure, where the file system supports that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def save_yaml(path: str | Path, content: Mapping[str, object]) -> None:
    """Write a mapping as YAML atomically, with its keys in their own order."""
    with atomic_write(path, "w") as file:
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)


def read_results(path: Path) -> list[dict[str, float]]:
    """The rows of a results.csv as {column: value}; [] if there is no such file.

    Blanks around names are stripped, since YOLOv5 pads them. A cell that is not a number is NaN. A
    line with another number of cells, torn or edited, is skipped.
    """
    if not path.is_file():
        return []
    # A damaged file gives the rows that can be read; columns with other names are never looked up.
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        try:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
        except csv.Error:
            return []
    names = lines[0] if lines else []
    return [
        dict(zip(names, map(_as_number, line), strict=True))
        for line in lines[1:]
        if len(line) == len(names)
    ]


def with_gaps(rows: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Rows of a results.csv, with NaN instead of the zeros of epochs without a validation.

    Those are the epochs before the last under --noval, for which YOLOv5's format has zeros. A
    validation has losses above 0.
    """
    return [_with_gap(row) for row in rows]


def _with_gap(row: Mapping[str, float]) -> dict[str, float]:
    scored = {name for name in row if name.startswith(("metrics/", "val/"))}
    missing = scored if not any(row[name] for name in scored) else set()
    return {name: math.nan if name in missing else value for name, value in row.items()}


def _as_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, unless they exist. Raises UserError if that fails."""
    _check_signs(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, error, "made") from None
    return folder


def check_folder_name(name: str) -> None:
    """Raise UserError unless --name is the name of one folder."""
    if not name.strip() or Path(name).name != name or name == "..":
        raise UserError(
            f"--name {name!r}: must be the name of a folder; the path before it is --project"
        )


def next_folder(project: str | Path, name: str, exist_ok: bool = False) -> Path:
    """Make and return project/name, or the first free of name2, name3 …, as YOLOv5 numbers runs.

    Args:
        project: Folder of runs.
        name: Name of this run.
        exist_ok: Whether to take project/name even if it exists.

    Raises:
        UserError: The folder cannot be made.
    """
    folder = Path(project) / name
    _check_signs(folder)
    number = 2
    # mkdir itself is the test, since another run may make the same folder at this moment.
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=exist_ok)
            sweep(folder, depth=2)
            return folder
        except FileExistsError:
            folder = Path(project) / f"{name}{number}"
            number += 1
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made ({error.strerror}); choose another --project"
            ) from None


@contextlib.contextmanager
def plain_path(path: str | Path) -> Iterator[str]:
    """A path that a library takes as UTF-8 text: the path itself, or a link for the block.

    OpenCV crashes on a name with other bytes. What is opened in the block stays open after it.
    """
    with contextlib.ExitStack() as stack:
        place, suffix = str(path), Path(path).suffix
        try:
            place.encode()
        except UnicodeEncodeError:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            place = os.path.join(folder, f"link{suffix if suffix.isascii() else ''}")
            os.symlink(Path(path).absolute(), place)
        yield place


def find_file(name: str | Path, *folders: str) -> Path:
    """Find a file: at the path name, or there below the project's root, or by its name in folders.

    The folders are relative to the root and are searched with their subfolders. Raises UserError if
    there is no such file, or several in the folders.
    """
    if not str(name).strip():
        raise UserError("a file is needed, but its name is empty; give a path")
    check_path(name)
    for candidate in (Path(name), ROOT / name):
        if _is_file(candidate):
            return candidate
    pattern = Path(name).name or str(name)
    # Names are compared, since rglob(pattern) would take [ and * for wildcards.
    hits = (hit for folder in folders for hit in (ROOT / folder).rglob("*") if hit.name == pattern)
    found = sorted({hit for hit in hits if hit.is_file()})
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{name}: several files have this name ({', '.join(map(str, found))}); give the whole"
            " path"
        )
    if Path(name).exists():
        what = kind_of(Path(name).stat().st_mode)
        remedy = "name a file in it" if what == "a folder" else "give a regular file"
        raise UserError(f"{name}: is {what}; {remedy}")
    if Path(name).is_symlink():
        raise UserError(f"{name}: is a link that leads to no file; check where it points")
    raise UserError(f"{name}: no such file; {remedy_for(str(name))}")


def _is_file(path: Path) -> bool:
    """Whether a path leads to a regular file. Raises UserError if that cannot be found out."""
    try:
        return path.is_file()
    except OSError as error:  # a folder on the way may not be searched, or the name is too long
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def check_path(path: str | Path, origin: str = "") -> None:
    """Raise UserError for a path that no file can have, with origin in front of it."""
    _check_signs(path, origin)
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            shown = printable(path, 80)
            raise UserError(
                f"{origin}{shown}: cannot be read ({error.strerror}); check the path"
            ) from None


def _check_signs(path: str | Path, origin: str = "") -> None:
    """Raise UserError for a NUL, and for a sign that the system's encoding of names lacks."""
    try:
        if b"\0" not in os.fsencode(path):
            return
    except UnicodeEncodeError:
        pass
    raise UserError(f"{origin}{printable(path, 80)}: is not a path; check its signs")


def expand_user(path: str | Path, origin: str = "") -> Path:
    """A path with `~` and `~user` replaced. Raises UserError, with origin in front, if it fails."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"{origin}{printable(path, 80)}: there is no such user; write the whole path"
        ) from None
