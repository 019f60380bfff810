"""A simulated CUDA device, for tests on machines without one.

Its tensors hold their values on the CPU and say that they are on cuda:0. They refuse to meet
tensors of the CPU, follow autocast's lists for CUDA, and count what a real device would have to do:
launches of operations, waits of the host for the device, and copies of lists from the host.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch.utils._foreach_utils as foreach_utils
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

CUDA = torch.device("cuda:0")
ROOT = str(Path(__file__).resolve().parents[1])
# The size of their result depends on values, or it is a number of Python.
WAITS = re.compile(
    "_local_scalar_dense|nonzero|masked_select|_unique2|unique_dim|unique_consecutive|bincount"
    "|equal|is_nonzero|item|nms"
)
# Autocast's lists for CUDA: half precision, float32, and the widest type of the arguments.
HALF = re.compile(
    "conv1d|conv2d|conv_transpose2d|linear|matmul|__matmul__|mm|bmm|addmm|addbmm|baddbmm|mv|einsum"
    "|scaled_dot_product_attention|prelu|multi_head_attention_forward"
)
FULL = re.compile(
    "acos|asin|cosh|erfinv|exp|expm1|log|log10|log2|log1p|reciprocal|rsqrt|sinh|tan|pow|__pow__"
    "|__rpow__|square|softplus|layer_norm|group_norm|cosine_similarity|dist|cdist|norm|logsumexp"
    "|binary_cross_entropy_with_logits|mse_loss|smooth_l1_loss|l1_loss|cross_entropy_loss"
    "|softmax|log_softmax|sum|prod|cumsum|cumprod"
)
WIDEST = re.compile(
    "addcdiv|addcmul|atan2|bilinear|cross|dot|grid_sampler|index_put|scatter_add|tensordot"
)
PROPERTIES = SimpleNamespace(name="simulated", total_memory=16 << 30)
NO_LAUNCH = ("empty", "new_empty", "_local_scalar", "detach", "alias", "lift")


@dataclass
class Counts:
    """What the device and the host had to do; waits and copies by the line that asked for them."""

    operations: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        self.operations = 0
        self.waits.clear()
        self.copies.clear()


COUNTS = Counts()
PINNED = set[int]()  # addresses


def _line() -> str:
    """The innermost line of the project's sources that is being run."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOT) and name != __file__:
            return f"{name[len(ROOT) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "torch"


class Simulated(torch.Tensor):
    """A tensor on the simulated device; `held` has its values."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> Simulated:
        meta = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta")
        made = torch.Tensor._make_subclass(cls, meta, requires_grad)
        made.held = held
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    def tolist(self) -> list[object]:
        COUNTS.waits[_line()] += 1
        return self.held.tolist()

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"Simulated({self.held})"

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):  # type: ignore[override]
        return _run(operation, args, kwargs or {})


def _is_simulated(device: Any) -> bool:
    return device is not None and torch.device(device).type in ("cuda", "meta")


def _is_stand_in(x: torch.Tensor) -> bool:
    """What traced() of models.fast_form says, where our tensors are those of a device."""
    return type(x) not in (torch.Tensor, nn.Parameter, Simulated)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in lists, tuples and dicts; torch's own walk takes five times longer."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _changed(value: Any, change: Callable[[torch.Tensor], object]) -> Any:
    """The same lists, tuples and dicts with other tensors."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _changed(part, change) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_changed(part, change) for part in value)
    return value


def _held(value: torch.Tensor) -> torch.Tensor:
    return value.held if isinstance(value, Simulated) else value


def _is_asynchronous(args, kwargs) -> bool:
    return bool(kwargs.get("non_blocking")) or args[-1] is True


def _is_pinned(x: torch.Tensor) -> bool:
    return x.untyped_storage().data_ptr() in PINNED


def _pin(x: torch.Tensor) -> torch.Tensor:
    """Note that the host's memory of a tensor is pinned; only such is copied behind its back."""
    PINNED.add(x.untyped_storage().data_ptr())
    return x


def _synchronise(*_: object) -> None:
    COUNTS.waits[_line()] += 1


def _run(operation, args, kwargs):
    """Run an operation on the held values, and count it."""
    name, asked = operation._opname, kwargs.get("device")
    if operation is torch.ops.prim.device.default:
        return CUDA
    tensors = list(_tensors((args, kwargs)))
    ours = [tensor for tensor in tensors if isinstance(tensor, Simulated)]
    others = [tensor for tensor in tensors if not isinstance(tensor, Simulated) and tensor.ndim]
    is_copy = name in ("_to_copy", "copy_", "index", "index_put", "_index_put_impl_")
    if ours and others and not is_copy:
        raise RuntimeError(f"{operation}: tensors of the device and of the CPU at {_line()}")
    to_host = asked is not None and torch.device(asked).type == "cpu"
    to_device = bool(others) and (bool(ours) or _is_simulated(asked))
    if (to_host and ours) or (name == "copy_" and not isinstance(args[0], Simulated)):
        COUNTS.waits[_line()] += 1
    elif to_device and not (_is_asynchronous(args, kwargs) and all(map(_is_pinned, others))):
        COUNTS.copies[_line()] += 1
    plain = _changed(kwargs, _held)
    if _is_simulated(asked):
        plain["device"] = torch.device("cpu")
    plain.pop("pin_memory", None)
    result = operation(*_changed(args, _held), **plain)
    if to_host or not (ours or _is_simulated(asked)):
        return result
    # Torch asks for such a move only since it sees another device underneath.
    stays = (
        name == "_to_copy" and bool(ours) and asked is not None and result.dtype == ours[0].dtype
    )
    _count(operation, name, args, is_free=to_device or stays)
    former = {id(tensor.held): tensor for tensor in ours} if operation._schema.is_mutable else {}

    def wrap(leaf):
        return former[id(leaf)] if id(leaf) in former else Simulated(leaf)

    return _changed(result, wrap)


def _count(operation, name, args, is_free: bool) -> None:
    indices = args[1] if name == "index" else ()
    by_mask = any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in indices)
    if WAITS.fullmatch(name) or by_mask:
        COUNTS.waits[_line()] += 1
    if not (operation.is_view or is_free or name.startswith(NO_LAUNCH)):
        COUNTS.operations += 1


class _Factories(TorchDispatchMode):
    """Catches tensors that are made on the device, and copies to it."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        ours = any(isinstance(leaf, Simulated) for leaf in _tensors((args, kwargs)))
        if ours or _is_simulated(kwargs.get("device")):
            with _disable_current_modes():
                return _run(operation, args, kwargs)
        return operation(*args, **kwargs)


class _Functions(TorchFunctionMode):
    """Counts lists that become tensors of the device, and does what autocast does for CUDA."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        if name == "pin_memory":
            return _pin(args[0])
        if name in ("tensor", "as_tensor") and _is_simulated(kwargs.get("device")):
            if not isinstance(args[0], torch.Tensor):
                return self._copied(args[0], kwargs.get("dtype"))
        elif name == "new_tensor" and isinstance(args[0], Simulated):
            return self._copied(args[1], kwargs.get("dtype") or args[0].dtype)
        if torch.is_autocast_enabled("cuda") and kwargs.get("out") is None:
            args, kwargs = _cast(name, args, kwargs)
        return function(*args, **kwargs)

    def _copied(self, data: object, dtype: torch.dtype | None) -> torch.Tensor:
        COUNTS.copies[_line()] += 1
        with _disable_current_modes():
            return Simulated(torch.tensor(data, dtype=dtype))


def _cast(name: str, args, kwargs):
    """Arguments in the type that autocast gives them."""
    floats = (torch.float16, torch.bfloat16, torch.float32)
    if not any(names.fullmatch(name) for names in (HALF, FULL, WIDEST)):
        return args, kwargs
    used = [leaf for leaf in _tensors((args, kwargs)) if isinstance(leaf, Simulated)]
    kinds = [leaf.dtype for leaf in used if leaf.dtype in floats]
    if not kinds:
        return args, kwargs
    wanted = torch.float32
    if HALF.fullmatch(name):
        wanted = torch.get_autocast_dtype("cuda")
    elif WIDEST.fullmatch(name):
        wanted = max(kinds, key=lambda kind: torch.finfo(kind).bits)

    def cast(leaf):
        is_cast = isinstance(leaf, Simulated) and leaf.dtype in floats and leaf.dtype != wanted
        return leaf.to(wanted) if is_cast else leaf

    return _changed(args, cast), _changed(kwargs, cast)


def simulate(module: nn.Module) -> nn.Module:
    """Move a module's parameters and buffers to the simulated device, in place."""
    for part in module.modules():
        stores: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
        for kept in stores:
            for name, value in kept.items():
                if value is not None:
                    copy = value.detach().clone(memory_format=torch.preserve_format)
                    moved = Simulated(copy)
                    is_parameter = kept is part._parameters
                    kept[name] = nn.Parameter(moved, value.requires_grad) if is_parameter else moved
    return module


@contextlib.contextmanager
def simulated_cuda(capability: tuple[int, int] = (8, 0), traced: bool = False) -> Iterator[Counts]:
    """A machine with one CUDA device of this compute capability, which counts its work.

    8.0 multiplies in bf16, 7.0 only in fp16. Attention modules choose the form that they have for a
    GPU, or with `traced` the plain one.
    """
    torch._C._ensureCUDADeviceGuardSet()
    supported = foreach_utils._get_foreach_kernels_supported_devices
    everywhere = [*foreach_utils._foreach_supported_types, Simulated]
    COUNTS.clear()
    PINNED.clear()
    with contextlib.ExitStack() as stack:
        for target, value in {
            "torch.cuda._lazy_init": lambda: None,
            "torch.cuda.is_available": lambda: True,
            "torch.cuda.device_count": lambda: 1,
            "torch.cuda.is_bf16_supported": lambda *_, **__: capability >= (8, 0),
            "torch.cuda.get_device_capability": lambda *_: capability,
            "torch.cuda.synchronize": _synchronise,
            "torch.cuda.max_memory_reserved": lambda *_: 0,
            "torch.cuda.mem_get_info": lambda *_: (16 << 30, 16 << 30),
            "torch.cuda.get_device_properties": lambda *_: PROPERTIES,
            "torch.cuda.get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
            "torch.cuda.set_rng_state": lambda *_: None,
            "torch.accelerator.is_available": lambda: True,
            "torch.accelerator.current_accelerator": lambda *_, **__: torch.device("cuda"),
            "torch.accelerator.synchronize": _synchronise,
            "torch.accelerator.set_device_index": lambda *_: None,
            "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
            "torch.utils._foreach_utils._foreach_supported_types": everywhere,
            "torch.utils._foreach_utils._get_foreach_kernels_supported_devices": lambda: [
                *supported(),
                "meta",
            ],
        }.items():
            stack.enter_context(mock.patch(target, value))
        # What training sets on a GPU must not outlive it.
        former = torch.are_deterministic_algorithms_enabled()
        stack.callback(torch.use_deterministic_algorithms, former)
        for name, module in list(sys.modules.items()):
            if name.startswith("models.") and hasattr(module, "traced") and not traced:
                stack.enter_context(mock.patch.object(module, "traced", _is_stand_in))
        stack.enter_context(_Factories())
        stack.enter_context(_Functions())
        yield COUNTS
