"""Files: reading YAML and results.csv, atomic writes, and folders of runs."""

from __future__ import annotations

import contextlib
import csv
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import yaml

from utils.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader; nothing in it is evaluated.

    Bytes that are not UTF-8 are dropped, since in practice they occur in comments only. Raises
    UserError with the file and line if it is missing, not YAML, or not a mapping.
    """
    path = Path(path)
    try:
        # utf-8-sig also drops the byte order mark that some editors write.
        text = path.read_bytes().decode("utf-8-sig", errors="ignore")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    try:
        content = yaml.safe_load(text)
    except yaml.reader.ReaderError:
        raise UserError(
            f"{path}: is a binary file and not YAML; a checkpoint is given as --weights"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{where}: not valid YAML ({problem}); fix that line") from None
    except (RecursionError, ValueError) as error:
        raise UserError(
            f"{path}: not valid YAML ({str(error).splitlines()[0]}); fix that value"
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: holds {type(content).__name__}, but a mapping of `key: value` lines is needed"
        )
    return content


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside path; on success sync it and rename it to path.

    After a crash at any instant, path has either its old or its complete new content. Raises
    UserError if the disk is full or read-only; the old file is then intact.
    """
    path = Path(path)
    # It is in the same folder, since a rename is atomic within a file system only.
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    encoding = None if "b" in mode else "utf-8"
    try:
        with open(temporary, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise UserError(f"{path}: {problem}; free some space or choose another place") from None
    finally:
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


def _as_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, unless they exist. Raises UserError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); choose another place"
        ) from None
    return folder


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
    number = 2
    # mkdir itself is the test, since another run may make the same folder at this moment.
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=exist_ok)
            return folder
        except FileExistsError:
            folder = Path(project) / f"{name}{number}"
            number += 1
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made ({error.strerror}); choose another --project"
            ) from None


def find_file(name: str | Path, *folders: str) -> Path:
    """Find a file: at the path name, or there below the project's root, or by its name in folders.

    The folders are relative to the root and are searched with their subfolders. Raises UserError if
    there is no such file, or several in the folders.
    """
    if not str(name).strip():
        raise UserError("a file is needed, but its name is empty; give a path")
    for candidate in (Path(name), ROOT / name):
        if candidate.is_file():
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
    if Path(name).is_dir():
        raise UserError(f"{name}: is a folder; name a file in it")
    raise UserError(f"{name}: no such file; check the path")
