"""Checkpoints that other programs wrote with torch.save, read without running anything that is in
them.

They are pickles, which elsewhere may name any function and have it called. Here
models/weights/pickles/machine.py follows their instructions, and
models/weights/pickles/allowlist.py knows the few names that a model needs; there is no other way
and no flag for one. models/weights/load.py reads with it, and models/weights/upstream/adopt.py
makes a model of what it gives.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.weights.pickles.allowlist import Allowlist
from models.weights.pickles.machine import Machine, Refused, shown
from utils.errors import UserError

MOST_ENTRIES = 50_000
MOST_SHORT = 64  # bytes of an entry that holds one word, such as the byte order
ENTRY = re.compile(r"data\.pkl|byteorder|version|\.[a-z_]+|\.data/serialization_id|data/\d{1,9}")
BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file holds: plain values, Tensors, and Records of classes that are not ours
    (allowlist.py).
    """

    path: str
    content: Any


def read_foreign(path: str | Path) -> Foreign:
    """Read a checkpoint of another program.

    Raises UserError, in one line, when it is missing, damaged, of a form that cannot be read
    safely, or names anything but tensors, plain values and the classes of models.
    """
    with _opened(Path(path)) as archive:
        allowed = Allowlist(archive.storage)
        return Foreign(str(path), Machine(allowed).run(archive.read("data.pkl")))


@contextmanager
def _opened(path: Path) -> Iterator[Archive]:
    """The file's archive; whatever is wrong with it becomes one line."""
    try:
        with path.open("rb") as file:
            _check_form(file.read(512))
            with zipfile.ZipFile(file) as archive:
                yield Archive(archive, path.stat().st_size)
    except Refused as error:
        raise UserError(
            f"{path}: {error}; take a checkpoint from a source that you trust"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or shown(str(error))}); check --weights"
        ) from None
    except BROKEN as error:
        raise UserError(
            f"{path}: is damaged or no checkpoint ({shown(str(error))}); get it anew"
        ) from None


def _check_form(start: bytes) -> None:
    """Name the older forms of torch.save, which are not read. Raises Refused."""
    again = "open it where it was made and save it again with torch.save of torch 1.6 or later"
    if start[257:262] == b"ustar":
        raise Refused(f"is a tar file, as torch 0.1 wrote them, which is not read; {again}")
    if not start.startswith(b"PK\x03\x04"):
        if start[:1] == b"\x80":
            raise Refused(
                f"is a bare pickle, as torch before 1.6 wrote them, which is not read; {again}"
            )
        raise Refused("is no file of torch.save")


class Archive:
    """The entries of a file of torch.save: data.pkl, the storages data/0 …, and a few words.

    Raises Refused for entries that torch.save does not write: compressed, of other names, or twice.
    """

    def __init__(self, archive: zipfile.ZipFile, length: int) -> None:
        self.archive = archive
        self.entries = _entries(archive, length)
        self.read_already: dict[str, Tensor] = {}
        order = self.read("byteorder", MOST_SHORT) if "byteorder" in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise Refused("has a byte order that is neither little nor big")
        self.swapped = order == b"big"

    def read(self, name: str, most: int | None = None) -> bytes:
        """An entry's bytes, their checksum compared."""
        entry = self.entries.get(name)
        if entry is None:
            raise Refused(f"has no {shown(name)}, so torch.save did not write it")
        if most is not None and entry.file_size > most:
            raise Refused(f"has {entry.file_size:,} bytes in {name}, where one word is needed")
        return self.archive.read(entry)

    def storage(self, key: str, kind: torch.dtype, count: int) -> Tensor:
        """count values [count] of a type, from the entry data/KEY, which must have just these."""
        values = self.read_already.get(key)
        if values is None:
            size = kind.itemsize
            entry = self.entries.get(f"data/{key}")
            if entry is None or entry.file_size != count * size:
                held = "nothing" if entry is None else f"{entry.file_size:,} bytes"
                raise Refused(
                    f"declares {shown(str(count))} values in data/{shown(key)}, which holds {held}"
                )
            raw = (
                torch.frombuffer(bytearray(self.read(f"data/{key}")), dtype=torch.uint8)
                if count
                else torch.empty(0)
            )
            if self.swapped and count:
                raw = raw.view(-1, size).flip(1).flatten()
            values = (raw != 0) if kind is torch.bool else raw.view(kind) if count else raw.to(kind)
            self.read_already[key] = values
        if values.dtype != kind or values.numel() != count:
            raise Refused(f"declares data/{shown(key)} in two ways")
        return values


def _entries(archive: zipfile.ZipFile, length: int) -> dict[str, zipfile.ZipInfo]:
    """Entries by their name below the archive's one folder. Raises Refused."""
    found = archive.infolist()
    if len(found) > MOST_ENTRIES:
        raise Refused(f"has more than {MOST_ENTRIES:,} entries")
    names = [entry.orig_filename for entry in found]
    for name, times in Counter(names).items():
        if times > 1:
            raise Refused(f"has {shown(name)} twice")
    stem = next((name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")), "")
    if stem in ("", "/") or stem.count("/") != 1 or stem in ("../", "./") or "\\" in stem:
        raise Refused("has no data.pkl in a folder of its own, so torch.save did not write it")
    entries = {}
    for name, entry in zip(names, found, strict=True):
        inner = name.removeprefix(stem)
        if inner.startswith("code/") or inner == "constants.pkl":
            raise Refused(
                "is a TorchScript file, which holds code; give the checkpoint that it was exported"
                " from"
            )
        if not name.startswith(stem) or not ENTRY.fullmatch(inner) or entry.filename != name:
            raise Refused(f"has an entry {shown(name)}, which torch.save does not write")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise Refused(f"has {shown(name)} compressed, which torch.save never does")
        entries[inner] = entry
    if sum(entry.file_size for entry in found) > length:
        raise Refused("declares more bytes than it has")
    return entries
