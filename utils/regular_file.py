"""Files that are opened only if they are regular, and small ones whose content is text.

A path that a stranger gives may be a named pipe, which makes a reader wait for ever, or a device
such as /dev/zero, which never ends. Text may be saved as UTF-16, as Windows does as "Unicode".
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from pathlib import Path
from typing import IO

from utils.errors import UserError
from utils.text import printable

READ_ONLY = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
MOST_BYTES = 10_000_000  # a data set's YAML with 100,000 classes has 3,000,000
BYTE_ORDER_MARKS = (  # UTF-32 comes first, since its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def kind_of(mode: int) -> str:
    """What a path with this st_mode is, with its article; "" for a regular file."""
    kind = stat.S_IFMT(mode)
    return "" if kind == stat.S_IFREG else KINDS.get(kind, "no regular file")


def open_regular(path: str | Path, buffering: int = -1) -> IO[bytes]:
    """Open a regular file for reading, without waiting for anything; buffering as for open().

    Raises OSError for every other kind of file, and ValueError for a path with a zero byte.
    """
    # The state is asked before the file is opened, since opening a device may have an effect.
    _check_regular(os.stat(path).st_mode, path)
    file = open(path, "rb", buffering, opener=_open_without_waiting)  # noqa: SIM115
    try:
        _check_regular(os.fstat(file.fileno()).st_mode, path)  # it may have been replaced
    except OSError:
        file.close()
        raise
    return file


def open_handle(path: str | Path) -> tuple[int, int]:
    """The descriptor of a regular file and its length in bytes; the caller closes it.

    It costs a third of open_regular(), which counts where many small files are read. Raises OSError
    for every other kind of file, and ValueError for a path with a zero byte.
    """
    _check_regular(os.stat(path).st_mode, path)
    handle = _open_without_waiting(os.fspath(path), READ_ONLY)
    try:
        status = os.fstat(handle)
        _check_regular(status.st_mode, path)  # it may have been replaced
    except OSError:
        os.close(handle)
        raise
    return handle, status.st_size


def read_handle(handle: int, count: int) -> bytes:
    """The next `count` bytes of an open file, fewer at its end."""
    data = os.read(handle, count)
    while len(data) < count and (more := os.read(handle, count - len(data))):
        data += more
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    # Without this flag open() would wait for a writer if the path has become a pipe by now.
    # Windows has no such flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(mode: int, path: str | Path) -> None:
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"is {kind_of(mode)}, where a file is needed", str(path))


def read_limited(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file, or of one that a link names.

    Raises UserError if it is missing, of another kind, or has more than `most` bytes.
    """
    shown = printable(path)
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shown}: cannot be read ({reason}); check the path") from None
    if len(data) > most:
        raise UserError(
            f"{shown}: is larger than {most // 1_000_000} MB, which no such file is; check the path"
        )
    return data


def decode_text(data: bytes) -> tuple[str, str]:
    """The text of a file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Returns:
        The text without the bytes that belong to no character, and the same with a replacement
        sign for each of them. The two are equal if there are none.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _both(data[len(mark) :], encoding)
    return _both(data, _without_mark(data[:4]))


def _both(data: bytes, encoding: str) -> tuple[str, str]:
    return data.decode(encoding, "ignore"), data.decode(encoding, "replace")


def _without_mark(start: bytes) -> str:
    """The encoding that the zero bytes of the first characters show, as YAML 1.2 tells it."""
    zeros = [byte == 0 for byte in start]
    if zeros == [False, True, True, True]:
        return "utf-32-le"
    if zeros == [True, True, True, False]:
        return "utf-32-be"
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else "utf-8"
