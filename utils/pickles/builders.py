"""Our own functions that replace the calls in a saved model, listed in BUILDERS.

Each takes the arguments that the file gives. It checks them itself and returns the value, or
NotImplemented for arguments that the original function never has in a saved model.
utils/pickles/allowlist.py calls them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeGuard

import torch
from torch import Tensor

from utils.pickles.checks import Refused, printable_text
from utils.pickles.objects import (
    REPEATING,
    Budget,
    PickledArray,
    PickledDtype,
    PickledName,
    PickledObject,
)

NAMESPACES = ("argparse.Namespace", "types.SimpleNamespace")  # options of a run
STORAGES = MappingProxyType(
    {
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
)
TORCH_CONSTANTS = (
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
# Names that are arguments or values and are never called.
INERT = frozenset(
    {
        *NAMESPACES,
        "builtins.object",
        "__builtin__.object",
        "numpy.ndarray",
        *(f"torch.{name}" for name in TORCH_CONSTANTS),
    }
)
NUMBER_CODES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
PARTIAL = "functools.partial"
MAX_DIMENSIONS = 8
MAX_SIDE = 2**40  # of a tensor or array; products of it are compared with what the file holds
MAX_PARTS = 100  # of a path
MAX_NAME = 200  # characters
CallArguments = tuple[object, ...]
Rebuild = Callable[[Budget, CallArguments], object]


def are_sizes(values: tuple[object, ...]) -> TypeGuard[tuple[int, ...]]:
    """Whether values can be the shape, or the strides, of a tensor."""
    return len(values) <= MAX_DIMENSIONS and all(
        type(value) is int and 0 <= value < MAX_SIDE for value in values
    )


def new_object(kind: object, arguments: object) -> PickledObject:
    """An object of a class of another program, made without arguments, as modules are saved.

    Raises Refused for the name of anything else, or if there are arguments.
    """
    if type(kind) is not PickledName or kind.text in BUILDERS or kind.text in STORAGES:
        what = printable_text(getattr(kind, "text", kind))
        raise Refused(f"makes an object of {what}, which is not a class of a model")
    if kind.text in INERT and kind.text not in NAMESPACES:
        raise Refused(f"makes an object of {kind.text}, which is not a class of a model")
    if arguments != ():
        raise Refused(f"calls {kind.text} with arguments, which saved modules never have")
    return PickledObject(kind.text)


def rebuild_tensor(_: Budget, arguments: CallArguments) -> object:
    """(storage, offset, size, strides, requires_grad, hooks): a view [size] of the storage.

    All of it must lie inside the storage. A view that repeats values, such as the grids that YOLOv5
    keeps beside its weights, becomes an object without behaviour, so that a small file cannot stand
    for a large tensor.
    """
    match arguments[:4]:
        case (Tensor() as storage, int(offset), tuple(size), tuple(stride)) if are_sizes(
            size
        ) and are_sizes(stride):
            pass
        case _:
            return NotImplemented
    count = math.prod(size)
    # Strides are not negative, so the last value is the furthest. Unequal lengths are refused
    # below.
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=False))
    fits = storage.dim() == 1 and len(size) == len(stride) and offset >= 0
    if not fits or (count and last >= storage.numel()):
        raise Refused(
            f"has a tensor {list(size)} that lies outside of its storage of {storage.numel()}"
            " values"
        )
    if not count:
        return torch.empty(size, dtype=storage.dtype)
    if count > storage.numel():
        return PickledObject(REPEATING, {})
    return storage.as_strided(size, stride, offset)


def rebuild_parameter(_: Budget, arguments: CallArguments) -> object:
    """(tensor, requires_grad, hooks): the tensor."""
    is_tensor = len(arguments) == 3 and isinstance(arguments[0], Tensor)
    return arguments[0] if is_tensor else NotImplemented


def ordered_dict(budget: Budget, arguments: CallArguments) -> object:
    """() or a list of pairs: a dict, which keeps its order too."""
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(
            type(pair) in (list, tuple) and len(pair) == 2 for pair in budget.spend(pairs)
        ):
            return {budget.key(key): value for key, value in pairs}
    return NotImplemented


def make_set(budget: Budget, arguments: CallArguments) -> object:
    """() or a list of keys: a set."""
    match arguments:
        case ():
            return set()
        case (list(values),):
            return {budget.key(value) for value in budget.spend(values)}
    return NotImplemented


def torch_size(_: Budget, arguments: CallArguments) -> object:
    """torch.Size of a tuple: the tuple."""
    match arguments:
        case (tuple(values),) if are_sizes(values):
            return values
    return NotImplemented


def joined(separator: str) -> Rebuild:
    """A builder that writes the parts of a path or device as one text."""

    def build(budget: Budget, arguments: CallArguments) -> object:
        if len(arguments) > MAX_PARTS or not all(type(part) in (str, int) for part in arguments):
            return NotImplemented
        return separator.join(budget.spend(str(part)) for part in arguments)

    return build


def encoded(budget: Budget, arguments: CallArguments) -> object:
    """(text, latin1): bytes, as protocol 2 writes them."""
    match arguments:
        case (str(text), "latin1" | "latin-1"):
            return budget.spend(text).encode("latin1")
    return NotImplemented


def dtype(_: Budget, arguments: CallArguments) -> object:
    """(code, align, copy) of numpy.dtype."""
    match arguments:
        case (str(code), bool() | int(), bool() | int()):
            if code in NUMBER_CODES:
                return PickledDtype(code)
            what = f"numpy.dtype('{printable_text(code)}')"
            raise Refused(f"has an array of {what}, which is not of plain numbers")
    return NotImplemented


def scalar(_: Budget, arguments: CallArguments) -> object:
    """(dtype, bytes): a plain number."""
    match arguments:
        case (PickledDtype() as kind, bytes(content)):
            number: object = kind.read(content, 1)[0].item()
            return number
    return NotImplemented


def array(_: Budget, arguments: CallArguments) -> object:
    """(numpy.ndarray, (0,), b'b'): an array that is still to be filled."""
    match arguments:
        case (PickledName("numpy.ndarray"), (0,), b"b"):
            return PickledArray()
    return NotImplemented


def reconstructed(_: Budget, arguments: CallArguments) -> object:
    """(class, object, None), as protocols 0 and 1 make objects."""
    match arguments:
        case (PickledName() as kind, PickledName("builtins.object" | "__builtin__.object"), None):
            return new_object(kind, ())
    return NotImplemented


def bound_method(_: Budget, arguments: CallArguments) -> object:
    """(object, name) of getattr: fused models keep the method that replaces `forward`."""
    match arguments:
        case (PickledObject(), str(name)) if len(name) <= MAX_NAME and name.isidentifier():
            return PickledObject("builtins.method", {"name": name})
    return NotImplemented


def partial(_: Budget, arguments: CallArguments) -> object:
    """(function,) of functools.partial: an object without behaviour; its state comes later."""
    match arguments:
        case (PickledName(),):
            return PickledObject(PARTIAL)
    return NotImplemented


def set_partial(budget: Budget, target: PickledObject, state: object) -> None:
    """Give a functools.partial its state, (function, arguments, keywords, attributes), once.

    Raises Refused for another state.
    """
    match state:
        case (PickledName() as function, tuple(), dict() as keywords, None | dict()) if (
            target.state is None and all(type(key) is str for key in budget.spend(keywords))
        ):
            target.state = {
                "func": function.text,
                **{f"keyword_{key}": value for key, value in keywords.items()},
            }
        case _:
            raise Refused(f"gives a {PARTIAL} a state that it never has")


NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
PATH_CLASSES = ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
BUILTINS = ("builtins", "__builtin__")  # of Python 3 and of the protocols that Python 2 reads
BUILDERS: Mapping[str, Rebuild] = MappingProxyType(
    {
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch._utils._rebuild_parameter": rebuild_parameter,
        "torch.Size": torch_size,
        "torch.device": joined(":"),
        "collections.OrderedDict": ordered_dict,
        **{f"{module}.{kind}": make_set for module in BUILTINS for kind in ("set", "frozenset")},
        **{
            f"{module}.{kind}": joined("/")
            for module in ("pathlib", "pathlib._local")
            for kind in PATH_CLASSES
        },
        "_codecs.encode": encoded,
        PARTIAL: partial,
        **{f"{module}.getattr": bound_method for module in BUILTINS},
        "numpy.dtype": dtype,
        **{f"{module}.scalar": scalar for module in NUMPY_MODULES},
        **{f"{module}._reconstruct": array for module in NUMPY_MODULES},
        **{f"{module}._reconstructor": reconstructed for module in ("copyreg", "copy_reg")},
    }
)
