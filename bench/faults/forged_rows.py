"""Networks of another program whose rows no name tells, so that each must be compared with ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType

import torch

from bench.faults.forged import mapping, name, saved, tensor, text, whole
from models.attention import build_attention
from models.graph.layers import LAYERS

ROWS = 299  # as many as are read, with the head
WIDTH = 16
Shapes = Mapping[str, Sequence[int]]  # of a row's tensors, by their keys


def rows_of_unknown_classes() -> Iterator[tuple[str, bytes]]:
    """Files of torch.save: their rows are attention, blocks around it, and what fits nothing."""
    for label, shapes in ROWS_OF.items():
        row = shapes()
        size = sum(math.prod(shape) for shape in row.values())
        rows = [_row(row, number * size, ROWS * size) for number in range(ROWS)]
        yield label, saved(_network(rows), bytes(4 * ROWS * size))


def _attention(*names: str) -> Shapes:
    with torch.device("meta"):
        states = [build_attention(one, WIDTH).state_dict() for one in names]
    return {key: value.shape for state in states for key, value in state.items()}


def _block(name: str) -> Shapes:
    block = LAYERS["C2f"].kind(WIDTH, WIDTH, 1).state_dict()
    inside = {f"att.{key}": shape for key, shape in _attention(name).items()}
    return {**{key: value.shape for key, value in block.items()}, **inside}


def _of_all_sizes() -> Shapes:
    """Keys of several modules at once, and many numbers that may be the channels."""
    both = _attention("CoTAttention", "LSK", "MHSA")
    return {**both, **{f"more{n}": (2 + n, 30 + n) for n in range(15)}}


ROWS_OF: Mapping[str, Callable[[], Shapes]] = MappingProxyType(
    {
        "attention": lambda: _attention("CoTAttention"),
        "windows": lambda: _attention("LocalWindowAttention"),
        "a block with attention": lambda: _block("CoTAttention"),
        "keys of several modules": _of_all_sizes,
    }
)


def _record(kind: tuple[str, str], attributes: Mapping[str, bytes]) -> bytes:
    return name(*kind) + b")\x81" + mapping(attributes) + b"b"


def _list(*codes: bytes) -> bytes:
    return b"](" + b"".join(codes) + b"e"


def _row(shapes: Shapes, start: int, total: int) -> bytes:
    """A module whose tensors are views of one storage of `total` values, from `start` on."""
    codes, place = dict[str, bytes](), start
    for key, shape in shapes.items():
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        codes[key] = tensor(total, shape, strides, place)
        place += math.prod(shape)
    return _module(codes)


def _module(codes: Mapping[str, bytes]) -> bytes:
    """A module of tensors by their keys, with modules inside for keys with dots."""
    own = {key: code for key, code in codes.items() if "." not in key}
    names = dict.fromkeys(key.partition(".")[0] for key in codes if "." in key)
    inner = {
        one: _module(
            {k.partition(".")[2]: code for k, code in codes.items() if k.startswith(f"{one}.")}
        )
        for one in names
    }
    parts = {"_parameters": mapping(own), "_modules": mapping(inner)}
    return _record(("forks", "Mystery"), parts)


def _network(rows: Sequence[bytes]) -> bytes:
    head = _record(("models.yolo", "Detect"), {"nc": whole(2)})
    modules = mapping(dict(zip(map(str, count()), [*rows, head], strict=False)))
    sequence = _record(("torch.nn.modules.container", "Sequential"), {"_modules": modules})
    written = _list(whole(-1), whole(1), text("Mystery"), _list(whole(WIDTH)))
    last = _list(_list(whole(-1)), whole(1), text("Detect"), _list(text("nc")))
    graph = {"nc": whole(2), "backbone": _list(*[written] * len(rows)), "head": _list(last)}
    parts = {"_modules": mapping({"model": sequence}), "yaml": mapping(graph)}
    return mapping({"model": _record(("models.yolo", "DetectionModel"), parts)})
