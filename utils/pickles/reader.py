"""Read files of torch.save, this project's own and those of others, without running anything.

Such files are pickles, which may name any function and have it called when they are loaded. Here
machine.py interprets their instructions, and allowlist.py knows the few names that a model needs.
The project reads checkpoints in no other way, and no flag turns this off. utils/checkpoint.py takes
its own content from the result; models/weights/upstream/adopt.py makes a model of that of others.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import UserError
from utils.pickles.allowlist import Allowlist
from utils.pickles.checks import Refused, printable_text
from utils.pickles.forms import START, other_form
from utils.pickles.machine import Machine
from utils.pickles.objects import Budget
from utils.regular_file import open_regular

MAX_ENTRIES = 50_000  # of an archive
MAX_DIRECTORY = 2**22  # bytes of the list of its entries; zipfile makes an object of each first
MAX_WORD = 64  # bytes of an entry that holds one word, such as the byte order
PIECE = 2**16  # bytes that are read at once
ENTRY = re.compile(r"data\.pkl|byteorder|version|\.[a-z_]+|\.data/serialization_id|data/\d{1,9}")
ARCHIVE_ERRORS = (  # what zipfile raises for an archive that is damaged, or forged to mislead it
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
    struct.error,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class SavedFile:
    """The content of a file of torch.save.

    Attributes:
        path: the file.
        content: plain values, Tensors, and the values of utils/pickles/objects.py.
    """

    path: str
    content: object


def read_saved(path: str | Path) -> SavedFile:
    """Read a checkpoint.

    Raises UserError, in one line, if it is missing, damaged, of a form that cannot be read safely,
    or names anything but tensors, plain values and the classes of models.
    """
    with _opened(Path(path)) as archive:
        budget = Budget()
        machine = Machine(Allowlist(archive.storage, budget), budget)
        content = machine.run(archive.read("data.pkl"))
        archive.check_rest()
        return SavedFile(str(path), content)


class _Directory(FileIO):
    """A file of which zipfile reads the list of entries, but none that would fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most size bytes. Raises Refused for more than MAX_DIRECTORY at once."""
        wanted = MAX_DIRECTORY if size is None or size < 0 else size  # the rest is a short comment
        if wanted > MAX_DIRECTORY:
            raise Refused(f"has a list of entries of {wanted:,} bytes")
        return super().read(wanted) or b""


@contextmanager
def _opened(path: Path) -> Iterator[Archive]:
    """The file's archive. An error from reading it inside the block becomes a UserError."""
    try:
        with open_regular(path) as file:
            form = other_form(path.name, file.read(START))
            if form:
                raise UserError(f"{path}: {form}")
            with zipfile.ZipFile(_Directory(file.fileno(), closefd=False)) as archive:
                yield Archive(archive, path.stat().st_size)
    except Refused as error:
        raise UserError(
            f"{path}: {error}; take a checkpoint from a source that you trust"
        ) from None
    except OSError as error:
        reason = error.strerror or printable_text(str(error))
        raise UserError(f"{path}: cannot be read ({reason}); check --weights") from None
    except ARCHIVE_ERRORS as error:
        reason = printable_text(str(error)) or type(error).__name__
        raise UserError(
            f"{path}: is damaged or not a checkpoint ({reason}); take another copy of it"
        ) from None


class Archive:
    """The entries of a file of torch.save: data.pkl, the storages data/0 …, and a few words.

    The constructor raises Refused for entries that torch.save does not write: compressed ones, ones
    of other names, or one name twice.
    """

    def __init__(self, archive: zipfile.ZipFile, length: int) -> None:
        """Check the entries of an archive in a file of `length` bytes."""
        self.archive = archive
        self.entries = _entries(archive, length)
        self.storages: dict[str, Tensor] = {}  # those that were read already
        self.seen = set[str]()  # entries that were read
        order = self.read("byteorder", MAX_WORD) if "byteorder" in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise Refused("has a byte order that is neither little nor big")
        self.swapped = order == b"big"

    def read(self, name: str, most: int | None = None) -> bytes:
        """The bytes of an entry, at most `most` of them; zipfile verifies their checksum.

        Raises Refused if there is no such entry or it is longer, BadZipFile for a wrong checksum.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise Refused(f"has no {printable_text(name)}, so torch.save did not write it")
        if most is not None and entry.file_size > most:
            raise Refused(f"has {entry.file_size:,} bytes in {name}, where one word is needed")
        return bytes(self._content(name))

    def check_rest(self) -> None:
        """Read the short entries that nothing has referred to, for their checksums."""
        for name, entry in self.entries.items():
            if name not in self.seen and entry.file_size <= PIECE:
                self._content(name)

    def _content(self, name: str) -> bytearray:
        """The bytes of an entry, in pieces, so that no second copy of it is in memory."""
        self.seen.add(name)
        entry = self.entries[name]
        content, done = bytearray(entry.file_size), 0
        with self.archive.open(entry) as file:
            while piece := file.read(PIECE):
                content[done : done + len(piece)] = piece
                done += len(piece)
        if done != entry.file_size:
            raise EOFError(f"ends within {name}")
        return content

    def storage(self, key: str, kind: torch.dtype, count: int) -> Tensor:
        """The values of a storage, the entry data/KEY.

        Args:
            key: of the entry.
            kind: type of the values.
            count: number of the values.

        Returns:
            The values [count]. Tensors may share them.

        Raises:
            Refused: The entry has another length, or was read as another type before.
        """
        if key not in self.storages:
            entry = self.entries.get(f"data/{key}")
            if entry is None or entry.file_size != count * kind.itemsize:
                held = "nothing" if entry is None else f"{entry.file_size:,} bytes"
                declared = f"{printable_text(str(count))} values in data/{printable_text(key)}"
                raise Refused(f"declares {declared}, which holds {held}")
            self.storages[key] = self._values(self._content(f"data/{key}"), kind)
        values = self.storages[key]
        if values.dtype != kind or values.numel() != count:
            raise Refused(f"declares data/{printable_text(key)} in two ways")
        return values

    def _values(self, content: bytearray, kind: torch.dtype) -> Tensor:
        """Bytes as values of a type, in this machine's byte order."""
        if not content:  # torch.frombuffer does not take an empty buffer
            return torch.empty(0, dtype=kind)
        raw = torch.frombuffer(content, dtype=torch.uint8)
        if self.swapped:
            raw = raw.view(-1, kind.itemsize).flip(1).flatten()
        # A byte other than 0 and 1 is not a valid bool, and computing with one is undefined.
        return raw != 0 if kind is torch.bool else raw.view(kind)


def _entries(archive: zipfile.ZipFile, length: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by their names below the archive's one folder.

    length is that of the whole file, in bytes. Raises Refused.
    """
    found = archive.infolist()
    if len(found) > MAX_ENTRIES:
        raise Refused(f"has more than {MAX_ENTRIES:,} entries")
    # orig_filename is the name as the file has it; zipfile cuts filename at a null byte.
    names = [entry.orig_filename for entry in found]
    for name, times in Counter(names).items():
        if times > 1:
            raise Refused(f"has {printable_text(name)} twice")
    folder = _folder(names)
    entries = {}
    if any(name.removeprefix(folder).startswith(("code/", "constants.pkl")) for name in names):
        raise Refused(
            "is a TorchScript file, which holds code; give the checkpoint that it was exported from"
        )
    for name, entry in zip(names, found, strict=True):
        inner = name.removeprefix(folder)
        if not name.startswith(folder) or not ENTRY.fullmatch(inner) or entry.filename != name:
            raise Refused(f"has an entry {printable_text(name)}, which torch.save does not write")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise Refused(f"has {printable_text(name)} compressed, which torch.save never does")
        entries[inner] = entry
    # Entries may overlap in a forged file, so that few bytes stand for many.
    if sum(entry.file_size for entry in found) > length:
        raise Refused("declares more bytes than it has")
    return entries


def _folder(names: list[str]) -> str:
    """The one folder of the archive, with its slash. Raises Refused."""
    files = (name for name in names if name.endswith("/data.pkl"))
    folder = next(files, "").removesuffix("data.pkl")
    if folder in ("", "/", "../", "./") or folder.count("/") != 1 or "\\" in folder:
        raise Refused("has no data.pkl in a folder of its own, so torch.save did not write it")
    return folder
