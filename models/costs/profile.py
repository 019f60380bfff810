"""The costs of a graph, row by row: multiply-adds, bytes moved, milliseconds, memory.

Costs that depend on shapes only are counted on the meta device, where nothing is computed. Times
and memory are measured on a real device. models/command.py prints them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from models.graph.info import row_info
from models.graph.shape_mode import LightMode, Operation, ShapeMode
from models.graph.walk import Maps
from models.yolo import DetectionModel
from utils.device import finish_queue
from utils.sizes import whole_side

TIMING_SECONDS = 10  # that --profile may spend on repeated forward passes
# PyTorch has no formula for its fused attention on CPUs, which does the same as the one on GPUs.
FORMULAS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        torch.ops.aten._scaled_dot_product_flash_attention
    ],
    **flop_registry,
}


@dataclass(frozen=True, slots=True)
class RowCost:
    """The costs of one row for one batch.

    Attributes:
        shape: of its output, as text.
        flops: 2 x multiply-adds of convolutions and matrix products, by the formulas of
            torch.utils.flop_counter.
        normalised: values that batch norms write.
        moved: bytes that operations read and write.
        elementwise: the part of moved that flops do not count: norms, activations, attention,
            pooling, concatenation.
    """

    shape: str
    flops: int
    normalised: int
    moved: int
    elementwise: int


class Counter(LightMode):
    """Adds up multiply-adds and bytes of operations. Views and empty memory cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.normalised = self.moved = self.elementwise = 0

    def __torch_dispatch__(
        self,
        func: Operation,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        operation = func._overloadpacket
        if func.is_view or operation is torch.ops.aten.empty:
            return out
        size = sum(
            x.numel() * x.element_size()
            for x in tree_iter((args, kwargs, out))
            if isinstance(x, Tensor)
        )
        self.moved += size
        if operation in FORMULAS:
            self.flops += FORMULAS[operation](*args, **kwargs, out_val=out)
        else:
            self.elementwise += size
        if "batch_norm" in operation.__name__:
            self.normalised += out[0].numel()
        return out


def count_costs(model: DetectionModel, size: int, batch: int = 1) -> list[RowCost]:
    """Count what the rows of a model cost, in eval mode and float32.

    Args:
        model: on the meta device.
        size: side of the images, pixels.
        batch: number of images.

    Returns:
        The cost of each row.
    """
    costs: list[RowCost] = []

    def call(row: nn.Module, maps: Maps) -> Any:
        with ShapeMode(), Counter() as counter:
            out = row(maps)
        shown = "x".join(map(str, (out[0] if isinstance(out, tuple) else out).shape))
        costs.append(
            RowCost(shown, counter.flops, counter.normalised, counter.moved, counter.elementwise)
        )
        return out

    model.eval()
    with torch.no_grad():
        model.walk(torch.empty(batch, model.graph["ch"], size, size, device="meta"), call)
    return costs


def time_rows(model: DetectionModel, x: Tensor) -> list[float]:
    """Milliseconds of each row in eval mode on x's device, the minimum of several passes."""
    best = [float("inf")] * len(model.model)
    end = time.perf_counter() + TIMING_SECONDS

    def call(row: nn.Module, maps: Maps) -> Any:
        index = row_info(row).index
        finish_queue(x.device)
        start = time.perf_counter()
        out = row(maps)
        finish_queue(x.device)
        best[index] = min(best[index], 1000 * (time.perf_counter() - start))
        return out

    model.eval()
    with torch.no_grad():
        # The first pass also allocates memory and chooses kernels, so the minimum of several is
        # the row's own time.
        for passes in range(20):
            model.walk(x, call)
            if passes and time.perf_counter() > end:
                break
    return best


def state_addresses(module: nn.Module) -> set[int]:
    """Where the storages of parameters and buffers begin.

    They are in memory anyway, so a reference to one is not a cost of training.
    """
    tensors = (*module.parameters(), *module.buffers())
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def kept_by_rows(model: DetectionModel, x: Tensor) -> list[int]:
    """Bytes of activations that each row keeps for the backward pass.

    A tensor that several rows keep is counted for the first of them. x has images [B, C, H, W].
    """
    kept = [0] * len(model.model)
    seen = state_addresses(model)

    def call(row: nn.Module, maps: Maps) -> Any:
        index = row_info(row).index

        def pack(saved: Tensor) -> Tensor:
            storage = saved.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                kept[index] += storage.nbytes()
            return saved

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            return row(maps)

    model.train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            # A batch norm keeps the same memory in eval mode. There its statistics stay unchanged,
            # and a map of one position, which has no variance, is not an error.
            norm.eval()
    model.walk(x, call)
    return kept


def summary(model: DetectionModel, name: str, costs: list[RowCost]) -> str:
    """YOLO's summary line: leaf modules, parameters, gradients, GFLOPs both ways.

    Args:
        model: to summarise.
        name: to print for it.
        costs: of its rows.

    Returns:
        One line of text.
    """
    leaves = sum(1 for module in model.modules() if not any(True for _ in module.children()))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    gradients = sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )
    ours, theirs = gigaflops(costs)
    return (
        f"{name} summary: {leaves} layers, {parameters:,} parameters, {gradients:,} gradients,"
        f" {ours:.1f} GFLOPs ({theirs:.1f} as {model.family.original} counts)"
    )


def gigaflops(costs: list[RowCost]) -> tuple[float, float]:
    """GFLOPs by torch.utils.flop_counter, and as YOLOv5 and YOLOv8 print them.

    Their counter (thop) counts the same convolutions and matrix products. It also adds 8 for each
    value that a batch norm writes: 2 multiply-adds for the norm, doubled for scale and shift, and
    doubled again because a multiply-add counts as two. Once norms are fused both counts agree.
    """
    flops = sum(cost.flops for cost in costs)
    return flops / 1e9, (flops + 8 * sum(cost.normalised for cost in costs)) / 1e9


def whole_size(imgsz: int, model: DetectionModel) -> int:
    """imgsz, rounded up to a multiple of the model's largest stride."""
    return whole_side(imgsz, int(max(model.head.strides)))
