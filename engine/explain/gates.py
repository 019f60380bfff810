"""The gates of attention modules: what they multiply maps by, and maps before and after.

No module has to announce its gates. While an attention module runs, the operations inside it are
watched, and three kinds of results count as gates:

- results of a sigmoid, hard sigmoid, tanh or softmax
- factors by which the module's own input is multiplied
- weights of PyTorch's fused attention, which are computed once more, since it keeps none

So this serves the whole library and a person's own modules alike. The shape says how a gate is
shown: as a bar for each channel, as a map, or both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.attention import ATTENTION
from models.graph.info import row_info
from models.yolo import DetectionModel

SQUASHING = ("sigmoid", "hardsigmoid", "tanh", "softmax")
PRODUCTS = ("mul", "multiply", "__mul__", "__rmul__", "__imul__")
FUSED = "scaled_dot_product_attention"
MOST_BARS = 4096


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate of a module for one image.

    Attributes:
        kind: The operation that made it, such as sigmoid, or "factor".
        bars: [n] a value for each channel or group, or None.
        map: [H, W] the mean over channels or heads, or None.
    """

    kind: str
    bars: Tensor | None
    map: Tensor | None


@dataclass(frozen=True, slots=True)
class ModuleGates:
    """All gates of an attention module.

    Attributes:
        row: Number of the row that it is or is in; -1 for a module outside of a graph.
        name: Its path in the network.
        kind: Name of its class.
        before, after: [H, W] root mean squares over the channels of its input and output.
        gates: In the order in which they were computed.
    """

    row: int
    name: str
    kind: str
    before: Tensor
    after: Tensor
    gates: list[Gate]


class _Plain(Tensor):
    """A tensor that modules take for a tracer's, so that they run their plain forms.

    The faster forms compute some gates in place, or never write them down.
    """


@dataclass
class _Open:
    """A module that is running; row and name are those of ModuleGates."""

    row: int
    name: str
    x: Tensor
    made: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)  # kind, tensor, copy


class _Watch(TorchFunctionMode):
    """Notes the gates of the innermost module that is running."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[_Open] = []

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation and note its gate, if it has one."""
        options = dict(kwargs or {})
        if not self.open:
            return func(*args, **options)
        name = getattr(func, "__name__", "")
        if name.rstrip("_") in PRODUCTS or name in PRODUCTS:
            self._note_factor(args)
        out = func(*args, **options)
        if name.rstrip("_") in SQUASHING:
            self._note(name.rstrip("_"), out)
        elif name == FUSED:
            self._note("attention", _fused_weights(*args, **options))
        return out

    def _note_factor(self, args: Sequence[Any]) -> None:
        tensors = [one for one in args if isinstance(one, Tensor)]
        x = self.open[-1].x
        if len(tensors) == 2:
            for one, other in (tensors, tensors[::-1]):
                if _same_memory(one, x) and not _same_memory(other, x):
                    self._note("factor", other)

    def _note(self, kind: str, value: Tensor) -> None:
        made = self.open[-1].made
        # A gate is noted where it is computed, and not again where the input is multiplied by it.
        if not any(_same_memory(value, known) for _, known, _ in made):
            made.append((kind, value, value.detach().as_subclass(Tensor).float().clone()))


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one is other or one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _fused_weights(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **more: Any
) -> Tensor:
    """softmax(q k^T scale + mask), [..., queries, keys]."""
    scale = more.get("scale") or query.shape[-1] ** -0.5
    logits = (query * scale) @ key.transpose(-2, -1)
    if attn_mask is not None:
        # A mask of truth values drops the keys where it is false.
        blocked = attn_mask.dtype == torch.bool
        logits = logits.masked_fill(~attn_mask, float("-inf")) if blocked else logits + attn_mask
    weights: Tensor = logits.softmax(-1)
    return weights


def is_attention(module: nn.Module) -> bool:
    """Whether a module is one of the library or of a person, or is called attention."""
    kind = type(module)
    return kind in set(ATTENTION.values()) or kind.__name__.endswith(("Attention", "Attn"))


def read_gate(kind: str, value: Tensor, size: tuple[int, int]) -> Gate | None:
    """Read a gate by its shape, or return None if it is neither a map nor a value per channel.

    Args:
        kind: The operation that made it.
        value: The gate for one image, of any shape.
        size: (H, W) of the map that the module got.
    """
    height, width = size
    if value.dim() < 2 or value.numel() < 2:
        return None
    last = tuple(value.shape[-2:])
    if last == size or (last in ((height, 1), (1, width)) and last != (1, 1)):
        maps = value.reshape(-1, *last)
        bars = maps.mean((1, 2)) if len(maps) > 1 else None
        return Gate(kind, bars, maps.mean(0).expand(size))
    if last[1] == height * width:  # the attention that each position gets, mean over queries
        return Gate(kind, None, value.reshape(-1, last[1]).mean(0).view(size))
    if kind in ("softmax", "attention") and last[1] > 1:  # over channels, windows or branches
        bars = value.reshape(-1, last[1]).mean(0)
    else:  # one value for a channel, or several along a side of the map
        bars = value.flatten() if last[1] == 1 else value.reshape(-1, last[1]).mean(1)
        bars = value.flatten() if len(bars) == 1 else bars
    return Gate(kind, bars, None) if 1 < len(bars) <= MOST_BARS else None


@contextmanager
def _watched(network: nn.Module, found: list[ModuleGates]) -> Iterator[None]:
    """Within the block, gates of all attention modules are appended to a list."""
    with ExitStack() as stack:
        watch = _Watch()

        def enter(name: str) -> Any:
            row = _row_number(network, name)

            def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
                watch.open.append(_Open(row, name, args[0]))

            return hook

        def leave(module: nn.Module, _: Any, out: Any) -> None:
            one = watch.open.pop()
            if isinstance(one.x, Tensor) and one.x.dim() == 4 and isinstance(out, Tensor):
                found.append(_collect(type(module).__name__, one, out))
            elif watch.open:  # a part that gets no map; its gates are those of the whole
                watch.open[-1].made += one.made

        for name, module in network.named_modules():
            if is_attention(module):
                stack.callback(module.register_forward_pre_hook(enter(name)).remove)
                stack.callback(module.register_forward_hook(leave).remove)
        stack.enter_context(watch)
        yield


def _collect(kind: str, one: _Open, out: Tensor) -> ModuleGates:
    size = (one.x.shape[2], one.x.shape[3])
    gates = [read_gate(how, copy, size) for how, _, copy in one.made]
    kept = [gate for gate in gates if gate]
    return ModuleGates(one.row, one.name, kind, _energy(one.x), _energy(out), kept)


def _row_number(network: nn.Module, name: str) -> int:
    """The row of a module, from its path: model.KEY or model.KEY.part."""
    if not isinstance(network, DetectionModel):
        return -1
    return row_info(network.get_submodule(".".join(name.split(".")[:2]))).index


def _energy(x: Tensor) -> Tensor:
    plain = x.detach().as_subclass(Tensor).float()
    return plain[0].square().mean(0).sqrt().cpu()


def gates_of(model: DetectionModel | nn.Module, x: Tensor) -> list[ModuleGates]:
    """The gates of every attention module for one image.

    Args:
        model: In evaluation mode.
        x: [1, C, h, w], what the model takes.

    Returns:
        The modules in the order in which they end.
    """
    found: list[ModuleGates] = []
    with torch.no_grad(), _watched(model, found):
        model(x.detach().clone().as_subclass(_Plain))
    return found
