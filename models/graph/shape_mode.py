"""Shapes without arithmetic: output shapes of common operations on the meta device.

PyTorch has meta kernels for everything, but many of them first import its compiler and sympy. The
first forward pass on the meta device took 7.45 s without the table below, and every start of
detect.py or models/yolo.py would pay for it. Operations that are not in the table go to PyTorch.
models/yolo.py finds strides and models/costs/profile.py counts costs under this mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten: Any = torch.ops.aten  # its operations are made on first use, so no type checker knows them
Operation: TypeAlias = Any
Answer: TypeAlias = Tensor | tuple[Tensor, ...] | None  # None: PyTorch answers, or raises its error
ELEMENTWISE: tuple[Operation, ...] = (
    aten.add,
    aten.sub,
    aten.mul,
    aten.div,
    aten.pow,
    aten.exp,
    aten.sqrt,
    aten.rsqrt,
    aten.reciprocal,
    aten.silu,
    aten.sigmoid,
    aten.relu,
    aten.leaky_relu,
    aten.hardswish,
    aten.gelu,
    aten.tanh,
)


def _new(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device="meta")


def _pair(value: Sequence[int]) -> tuple[int, int]:
    return (value[0], value[-1])


def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many whole windows fit along one side."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Answer:
    """Output of an untransposed 2-d convolution."""
    stride, padding, dilation, transposed, _, groups = settings
    if x.dim() != 4 or weight.dim() != 4 or transposed or x.shape[1] != weight.shape[1] * groups:
        return None
    steps = zip(
        x.shape[2:], weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation), strict=True
    )
    sides = [_windows(*step) for step in steps]
    return _new(x, x.shape[0], weight.shape[0], *sides) if min(sides) > 0 else None


def _max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Answer:
    """Output and indices of a 2-d max pool."""
    stride = stride or kernel
    is_usual = min(*kernel, *stride, *dilation) >= 1 and 0 <= 2 * max(padding) <= min(kernel)
    if ceil_mode or x.dim() != 4 or not is_usual:
        return None
    steps = zip(
        x.shape[2:], _pair(kernel), _pair(stride), _pair(padding), _pair(dilation), strict=True
    )
    out = (*x.shape[:2], *(_windows(*step) for step in steps))
    if min(out) <= 0:
        return None
    return _new(x, *out), torch.empty(out, dtype=torch.int64, device="meta")


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    *rest: object,
) -> Answer:
    """Output of batch norm in eval mode, and its two empty statistics."""
    is_training = len(rest) == 3 and rest[0]
    fits = mean is not None and mean.shape[0] == x.shape[1] and not is_training
    return (_new(x, *x.shape), _new(x, 0), _new(x, 0)) if fits else None


def _concatenate(maps: Sequence[Tensor], dim: int = 0) -> Answer:
    """The concatenation of tensors whose shapes agree in all dimensions but one."""
    shapes = [list(x.shape) for x in maps]
    joined = [*shapes[0]]
    joined[dim] = sum(shape[dim] for shape in shapes if len(shape) == len(joined))
    for shape in shapes:
        shape[dim] = 0
    return _new(maps[0], *joined) if all(shape == shapes[0] for shape in shapes) else None


def _elementwise(*args: object) -> Answer:
    """The broadcast of all tensors, which must share one floating type."""
    tensors = [x for x in args if isinstance(x, Tensor)]
    alike = all(x.dtype == tensors[0].dtype and x.dtype.is_floating_point for x in tensors)
    sides = [
        set(sizes) - {1}
        for sizes in zip_longest(*(reversed(x.shape) for x in tensors), fillvalue=1)
    ]
    if not alike or any(len(side) > 1 for side in sides):
        return None
    return _new(tensors[0], *(side.pop() if side else 1 for side in reversed(sides)))


def _reduce(x: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Answer:
    """Mean or sum over dims."""
    gone = {dim % x.dim() for dim in dims or range(x.dim())}
    kept = [
        1 if dim in gone else size for dim, size in enumerate(x.shape) if keepdim or dim not in gone
    ]
    return _new(x, *kept)


def _product(x: Tensor, y: Tensor) -> Answer:
    """Product of two matrices, or of two batches of matrices."""
    fits = (
        x.dim() == y.dim()
        and x.shape[:-2] == y.shape[:-2]
        and x.shape[-1] == y.shape[-2]
        and x.dtype == y.dtype
    )
    return _new(x, *x.shape[:-1], y.shape[-1]) if fits else None


def _nearest(x: Tensor, size: Sequence[int] | None, *scales: object) -> Answer:
    """Output of a 2-d nearest-neighbour resize; size is None where PyTorch gives scales only."""
    return _new(x, *x.shape[:2], *size) if size and x.dim() == 4 and min(size) > 0 else None


def _arange(
    *bounds: float,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_: object,
) -> Answer:
    """Numbers from start (0) to end in steps (1) on the meta device."""
    start, end, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if dtype is None or device is None or device.type != "meta" or step <= 0 or end < start:
        return None
    return torch.empty(math.ceil((end - start) / step), dtype=dtype, device=device)


SHAPE_RULES: dict[Operation, Callable[..., Answer]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pool,
    aten.native_batch_norm: _batch_norm,
    aten.cat: _concatenate,
    aten.mean: _reduce,
    aten.sum: _reduce,
    aten.upsample_nearest2d: _nearest,
    aten.mm: _product,
    aten.bmm: _product,
    aten._softmax: lambda x, dim, half_to_float: None if half_to_float else _new(x, *x.shape),
    aten._safe_softmax: lambda x, dim, dtype=None: None if dtype else _new(x, *x.shape),
    aten.clone: lambda x: _new(x, *x.shape),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
}
IN_PLACE = frozenset({aten.silu_, aten.relu_, aten.leaky_relu_, aten.hardswish_, aten.sigmoid_})


def _is_meta(value: object) -> bool:
    """Whether a tensor, or the first of a list of them, has no values.

    A person's class that cannot run without values runs on the CPU, within this mode too.
    """
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, Tensor) and first.is_meta


class LightMode(TorchDispatchMode):
    """A dispatch mode that does not import PyTorch's compiler.

    By default a dispatch mode tells the compiler to skip it, which imports the compiler.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class ShapeMode(LightMode):
    """Answers operations on meta tensors by SHAPE_RULES where it can.

    Results have the right shapes and dtypes, and no values.
    """

    def __torch_dispatch__(
        self,
        func: Operation,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        operation, options = func._overloadpacket, kwargs or {}
        if operation in IN_PLACE:
            return args[0]
        # None means that no rule applies. Then PyTorch's own kernel computes the shape, or raises.
        answer: Answer = None
        if operation is aten.arange:
            answer = _arange(*args, **options)
        elif operation in SHAPE_RULES and set(options) <= {"memory_format"} and _is_meta(args[0]):
            answer = SHAPE_RULES[operation](*args)
        return func(*args, **options) if answer is None else answer
