"""The names that a saved model may use, each with code of ours that stands for it; any other name
is refused.

Tensors, plain containers, numbers of numpy and paths are rebuilt here. Classes of the families of
programs whose models we read become Records: a name and a state, without behaviour.
models/weights/pickles/machine.py asks; models/weights/pickles/reader.py owns it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.weights.pickles.machine import Refused, as_key, shown

FAMILIES = ("models", "ultralytics", "torch.nn", "utils", "yolov5")
NAMESPACES = ("argparse.Namespace", "types.SimpleNamespace")  # options of a run
STORAGES = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.BoolStorage": torch.bool,
}
INERT = {
    *NAMESPACES,
    "builtins.object",
    "__builtin__.object",
    "numpy.ndarray",
    *(
        f"torch.{kind}"
        for kind in (
            "float16",
            "bfloat16",
            "float32",
            "float64",
            "uint8",
            "int32",
            "int64",
            "bool",
            "channels_last",
            "contiguous_format",
            "preserve_format",
        )
    ),
}
NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
MOST_COPIED = 2**21  # values and bytes that calls copy, all together
MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the file, module and all; only ever compared with those that we know."""

    text: str


@dataclass(eq=False, slots=True)
class Record:
    """An object of a class that is not ours. kind: the class's whole name. state: its attributes."""

    kind: str
    state: dict[str, Any] | None = None

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or default where it has none."""
        return (self.state or {}).get(name, default)


@dataclass(eq=False, slots=True)
class Number:
    """numpy's dtype of a plain number. code: such as f8. order: < or >."""

    code: str
    order: str = "="

    def read(self, content: bytes, count: int) -> np.ndarray:
        """count numbers, which must fill content exactly."""
        kind = np.dtype(self.order + self.code)
        if count * kind.itemsize != len(content):
            raise Refused(f"declares {count} numbers {self.code} in {len(content)} bytes")
        return np.frombuffer(content, kind)


@dataclass(eq=False, slots=True)
class Array:
    """An array of numpy, whose values come after it."""

    values: np.ndarray | None = None


class Allowlist:
    """Meanings (models/weights/pickles/machine.py) of a saved model's names.

    storage: (key, type, number of values) -> those values [N], of the archive around the pickle.
    """

    def __init__(self, storage: Callable[[str, torch.dtype, int], Tensor]) -> None:
        self.storage = storage
        self.copied = 0

    def find(self, module: str, name: str) -> Name:
        """The name itself, if it is known or of a family."""
        text = f"{module}.{name}"
        parts = [*module.split("."), name]
        of_family = (
            module.startswith(tuple(f"{family}." for family in FAMILIES)) or module in FAMILIES
        )
        if text in BUILDERS or text in STORAGES or text in INERT:
            return Name(text)
        if (
            of_family
            and len(text) <= 200
            and all(part.isascii() and part.isidentifier() for part in parts)
        ):
            return Name(text)
        raise Refused(f"names {shown(text)}, which no saved model needs; nothing of it was run")

    def call(self, callee: Any, arguments: Any) -> Any:
        """What a known name makes of its arguments."""
        if type(callee) is not Name or type(arguments) is not tuple:
            raise Refused(f"calls a {type(callee).__name__}, which is no name")
        builder = BUILDERS.get(callee.text)
        if builder is None:
            return self.new(
                callee, arguments
            )  # options without arguments pickle themselves in this way
        made = builder(self, arguments)
        if made is NotImplemented:
            raise Refused(f"calls {callee.text} with arguments that it never has")
        return made

    def new(self, kind: Any, arguments: Any) -> Record:
        """A Record of a class of the families, without arguments, as modules are saved."""
        if type(kind) is not Name or kind.text in BUILDERS or kind.text in STORAGES:
            raise Refused(
                f"makes an object of {shown(getattr(kind, 'text', kind))}, which is no class of a"
                " model"
            )
        if kind.text in INERT and kind.text not in NAMESPACES:
            raise Refused(f"makes an object of {kind.text}, which is no class of a model")
        if arguments != ():
            raise Refused(f"calls {kind.text} with arguments, as no saved module is made")
        return Record(kind.text)

    def build(self, target: Any, state: Any) -> None:
        """Give a record its attributes, numpy's types their byte order and arrays their values."""
        if type(target) is Record and target.state is None and _named(state):
            target.state = state
        elif type(target) is dict and _named(state) and set(state) <= {"_metadata"}:
            pass  # what state_dict() notes about versions
        elif (
            type(target) is Number
            and type(state) is tuple
            and state[1:2] in (("<",), (">",), ("|",), ("=",))
        ):
            target.order = state[1].replace("|", "=")
        elif type(target) is Array and target.values is None:
            target.values = self._array(state)
        else:
            raise Refused(
                f"gives a {shown(getattr(target, 'kind', target))} a state that it never has"
            )

    def fetch(self, identity: Any) -> Tensor:
        """The storage that a tensor lies in."""
        match identity:
            case (
                "storage",
                Name(text),
                str(key),
                str(),
                int(count),
            ) if text in STORAGES and count >= 0:
                return self.storage(key, STORAGES[text], count)
        raise Refused("refers to something outside of it that is no tensor's storage")

    def copy(self, values: Any) -> Any:
        """values, counted: a file must not have the same ones copied over and over."""
        self.copied += len(values) + 1
        if self.copied > MOST_COPIED:
            raise Refused(f"copies more than {MOST_COPIED:,} values")
        return values

    def _array(self, state: Any) -> np.ndarray:
        match state:
            case (int(), tuple(shape), Number() as number, bool(fortran), bytes(content)) if _sizes(
                shape
            ):
                flat = number.read(self.copy(content), math.prod(shape))
                return flat.reshape(shape, order="F" if fortran else "C")
        raise Refused("has an array of numpy that is not of plain numbers")


def _named(state: Any) -> bool:
    return type(state) is dict and all(type(key) is str for key in state)


def _sizes(values: Any) -> bool:
    return len(values) <= MOST_DIMENSIONS and all(
        type(value) is int and 0 <= value < 2**40 for value in values
    )


def rebuild_tensor(_: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(storage, offset, size, stride, requires_grad, hooks): a view [size], every value inside the
    storage, once.
    """
    match arguments[:4]:
        case (Tensor() as storage, int(offset), tuple(size), tuple(stride)) if _sizes(
            size
        ) and _sizes(stride):
            pass
        case _:
            return NotImplemented
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=False))
    empty = math.prod(size) == 0
    fits = storage.dim() == 1 and len(size) == len(stride) and offset >= 0
    if not fits or not (empty or (last < storage.numel() and math.prod(size) <= storage.numel())):
        raise Refused(
            f"has a tensor {list(size)} that lies outside of its storage of {storage.numel()}"
            " values"
        )
    return (
        torch.empty(size, dtype=storage.dtype)
        if empty
        else storage.as_strided(size, stride, offset)
    )


def rebuild_parameter(_: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(tensor, requires_grad, hooks): the tensor."""
    is_tensor = len(arguments) == 3 and isinstance(arguments[0], Tensor)
    return arguments[0] if is_tensor else NotImplemented


def ordered_dict(allowed: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """() or a list of pairs: a dict, which is ordered too."""
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(
            type(pair) in (list, tuple) and len(pair) == 2 for pair in allowed.copy(pairs)
        ):
            return {as_key(key): value for key, value in pairs}
    return NotImplemented


def make_set(allowed: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """() or a list of keys: a set."""
    match arguments:
        case ():
            return set()
        case (list(values),):
            return {as_key(value) for value in allowed.copy(values)}
    return NotImplemented


def size(_: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """torch.Size of a tuple: the tuple."""
    match arguments:
        case (tuple(values),) if _sizes(values):
            return values
    return NotImplemented


def joined(separator: str) -> Callable[[Allowlist, tuple[Any, ...]], Any]:
    """A builder that writes a path's or a device's parts as one text."""

    def build(allowed: Allowlist, arguments: tuple[Any, ...]) -> Any:
        if not all(type(part) in (str, int) for part in arguments) or len(arguments) > 100:
            return NotImplemented
        return allowed.copy(separator.join(map(str, arguments)))

    return build


def encoded(allowed: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(text, latin1): bytes, as protocol 2 writes them."""
    match arguments:
        case (str(text), "latin1" | "latin-1"):
            return allowed.copy(text).encode("latin1")
    return NotImplemented


def number(_: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(code, align, copy) of numpy.dtype."""
    match arguments:
        case (str(code), bool() | int(), bool() | int()):
            if code in NUMBERS:
                return Number(code)
            raise Refused(
                f"has an array of numpy.dtype('{shown(code)}'), which is not of plain numbers"
            )
    return NotImplemented


def scalar(_: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(dtype, bytes): a plain number."""
    match arguments:
        case (Number() as kind, bytes(content)):
            return kind.read(content, 1)[0].item()
    return NotImplemented


def array(_: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(numpy.ndarray, (0,), b'b'): an array still to be filled."""
    match arguments:
        case (Name("numpy.ndarray"), (0,), b"b"):
            return Array()
    return NotImplemented


def reconstructed(allowed: Allowlist, arguments: tuple[Any, ...]) -> Any:
    """(class, object, None), as protocols 0 and 1 make objects."""
    match arguments:
        case (Name() as kind, Name("builtins.object" | "__builtin__.object"), None):
            return allowed.new(kind, ())
    return NotImplemented


BUILDERS: dict[str, Callable[[Allowlist, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch.Size": size,
    "torch.device": joined(":"),
    "collections.OrderedDict": ordered_dict,
    **{
        f"{module}.{kind}": make_set
        for module in ("builtins", "__builtin__")
        for kind in ("set", "frozenset")
    },
    **{
        f"{module}.{kind}": joined("/")
        for module in ("pathlib", "pathlib._local")
        for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    "_codecs.encode": encoded,
    "numpy.dtype": number,
    **{
        f"{module}.scalar": scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    },
    **{
        f"{module}._reconstruct": array
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    },
    **{f"{module}._reconstructor": reconstructed for module in ("copyreg", "copy_reg")},
}
