"""Files as torch.save writes them, good and malicious, put together opcode by opcode.

Nothing here is pickled or unpickled: a pickle is a string of bytes, and these are written by hand.
The classes of the original programs occur as names only and exist nowhere.
"""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

KINDS = {torch.float16: "HalfStorage", torch.float32: "FloatStorage", torch.int64: "LongStorage"}


@dataclass(frozen=True)
class Name:
    """A class or function of the original program."""

    module: str
    name: str


@dataclass(frozen=True)
class Raw:
    """Opcodes that are written unchanged."""

    code: bytes


@dataclass
class Thing:
    """An object that is made without arguments and then given its attributes."""

    kind: Name
    state: dict[str, Any] = field(default_factory=dict)


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(module: str, attribute: str, *arguments: Any) -> Raw:
    """module.attribute(*arguments), by REDUCE."""
    return Raw(
        name(module, attribute) + b"(" + b"".join(Writer().value(one) for one in arguments) + b"tR"
    )


class Writer:
    """Writes one pickle and collects the tensors' storages."""

    def __init__(self) -> None:
        self.storages: list[bytes] = []

    def value(self, value: Any) -> bytes:
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return text(value)
        if isinstance(value, Raw):
            return value.code
        if isinstance(value, Name):
            return name(value.module, value.name)
        if isinstance(value, Thing):
            return (
                name(value.kind.module, value.kind.name) + b")\x81" + self.value(value.state) + b"b"
            )
        if isinstance(value, Tensor):
            return self.tensor(value)
        return self.container(value)

    def container(self, value: Any) -> bytes:
        if isinstance(value, (list, tuple)):
            inner = b"".join(map(self.value, value))
            return b"](" + inner + b"e" if isinstance(value, list) else b"(" + inner + b"t"
        assert isinstance(value, dict)
        return (
            b"}(" + b"".join(self.value(key) + self.value(one) for key, one in value.items()) + b"u"
        )

    def tensor(self, value: Tensor) -> bytes:
        flat = value.detach().contiguous()
        self.storages.append(
            flat.view(-1).view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        )
        identity = self.value(
            (
                "storage",
                Name("torch", KINDS[value.dtype]),
                str(len(self.storages) - 1),
                "cpu",
                flat.numel(),
            )
        )
        rest = (
            self.value(tuple(flat.shape))
            + self.value(flat.stride())
            + b"\x89"
            + name("collections", "OrderedDict")
        )
        start = name("torch._utils", "_rebuild_tensor_v2")
        return start + b"(" + identity + b"Q" + b"J\0\0\0\0" + rest + b")RtR"


def archive(entries: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file, in which a name may occur twice."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as out:
        warnings.simplefilter("ignore", UserWarning)  # about names that occur twice
        for entry, content in entries:
            out.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), content, compression)
    return file.getvalue()


def program(value: Any) -> tuple[bytes, list[bytes]]:
    """The pickle of a value, and its storages."""
    writer = Writer()
    return b"\x80\x02" + writer.value(value) + b".", writer.storages


def wrapped(
    code: bytes, storages: Iterable[bytes] = (), extra: Mapping[str, bytes] | None = None
) -> bytes:
    """A file of torch.save around a pickle."""
    inner = [("best/data.pkl", code), ("best/byteorder", b"little")]
    inner += [(f"best/data/{number}", content) for number, content in enumerate(storages)]
    return archive([*inner, ("best/version", b"3\n"), *(extra or {}).items()])


def saved(value: Any) -> bytes:
    """A file of torch.save that holds a value."""
    return wrapped(*program(value))
