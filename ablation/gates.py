"""What a trained network does with its attention: how it rescales what passes, and how much of the
gradient it gets.

Measured on a finished cell's best.pt and a few validation images, the same ones for every arm.
causes.py says in words what is told by these figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.dataset import DatasetSettings
from data.loader import build_loader
from data.scanning.load import load_dataset
from models.attention import ATTENTION
from models.losses import build_loss
from models.weights.load import from_checkpoint
from models.yolo import DetectionModel
from utils import checkpoint as checkpoints
from utils.config import Hyperparameters
from utils.structures import Batch

IMAGES = 8
SAMPLES = 20_000  # ratios kept of each module
SMALL = 0.1  # inputs below this share of their map's root mean square say nothing about a factor
EDGE = 0.05  # of the gate's range, on either side
ROUNDING = 0.01


@dataclass(frozen=True)
class Gate:
    """An attention module at work: output / input over positions, channels and images.

    mean, spread: of the ratio, spread being the standard deviation. low, high: shares of gate
    values in the lowest and highest twentieth of their range, None for a module that is no gate,
    but gives new values or moves them. alpha: how far an identity start has been left, None without
    one.
    """

    name: str
    kind: str
    mean: float
    spread: float
    low: float | None
    high: float | None
    alpha: float | None

    @property
    def saturation(self) -> float:
        """Share of gate values that hardly let a gradient through; 0 for what is no gate."""
        return (self.low or 0.0) + (self.high or 0.0)


@dataclass(frozen=True)
class Health:
    """The attention of one network. gradient_share, parameter_share: of all modules together, norm
    and count by those of the whole network."""

    gates: tuple[Gate, ...]
    gradient_share: float
    parameter_share: float


def examine(best: Path) -> Health | None:
    """Measure the attention of a best.pt on validation images of its own data set; None if it has
    no attention.

    Raises UserError if the checkpoint or the data set cannot be read.
    """
    checkpoint = checkpoints.read(best)
    model = from_checkpoint(checkpoint).float()
    modules = attention_of(model)
    if not modules:
        return None
    hyp = Hyperparameters.from_mapping(checkpoint.hyp, str(best))
    imgsz = int(checkpoint.config["imgsz"])
    batch = read_batch(
        checkpoint.data or str(checkpoint.config["data"]), imgsz, int(max(model.head.strides)), hyp
    )
    images = batch.images.float() / 255
    with watch(modules) as seen, torch.no_grad():
        model.eval()(images)
    gates = tuple(describe(name, module, seen[name]) for name, module in modules.items())
    own = {id(value): value for module in modules.values() for value in module.parameters()}
    share = sum(value.numel() for value in own.values()) / sum(
        value.numel() for value in model.parameters()
    )
    return Health(gates, gradient_share(model, own, batch, hyp), share)


def attention_of(model: nn.Module) -> dict[str, nn.Module]:
    """The attention modules of a network by name, wherever they are."""
    kinds = set(ATTENTION.values())
    return {name: module for name, module in model.named_modules() if type(module) in kinds}


def read_batch(data: str, imgsz: int, stride: int, hyp: Hyperparameters) -> Batch:
    """A few validation images, evenly spread over the split, without augmentation."""
    index = load_dataset(data, "val")
    chosen = np.unique(np.linspace(0, len(index) - 1, IMAGES).round().astype(int))
    settings = DatasetSettings(imgsz=imgsz, stride=stride, hyp=hyp, batch_size=IMAGES)
    return next(iter(build_loader(index.subset(chosen), settings)))


@contextmanager
def watch(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Inside, every pass leaves each module's output / input in the dictionary that is given."""
    seen: dict[str, Tensor] = {}

    def hook_for(name: str) -> Any:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            seen[name] = ratios(inputs[0], out)

        return keep

    handles = [module.register_forward_hook(hook_for(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def ratios(x: Tensor, out: Tensor) -> Tensor:
    """[at most SAMPLES] of out / x, evenly spread, where x is not near zero; none if they differ in
    shape.
    """
    if out.shape != x.shape:
        return torch.zeros(0)
    x, out = x.detach().float().flatten(), out.detach().float().flatten()
    step = max(1, x.numel() // (2 * SAMPLES))
    step += step % 2 == 0 or step % 5 == 0  # not in time with the maps' sides
    x, out = x[::step], out[::step]
    large = x.abs() > SMALL * x.square().mean().sqrt()
    return (out[large] / x[large])[:SAMPLES]


def describe(name: str, module: nn.Module, ratio: Tensor) -> Gate:
    """A module's ratios in figures; nan where it has none."""
    kind, alpha = type(module).__name__, getattr(module, "alpha", None)
    off = float(alpha.detach()) if isinstance(alpha, nn.Parameter) and alpha.dim() == 0 else None
    if not len(ratio):
        return Gate(name, kind, math.nan, math.nan, None, None, off)
    ends = torch.quantile(ratio, torch.tensor([0.001, 0.999]))
    floors = (
        start
        for start in (0.0, 1.0)
        if start - ROUNDING <= ends[0] and ends[1] <= start + 1 + ROUNDING
    )
    floor, low, high = next(floors, None), None, None
    if floor is not None:
        low = float((ratio < floor + EDGE).float().mean())
        high = float((ratio > floor + 1 - EDGE).float().mean())
    return Gate(name, kind, float(ratio.mean()), float(ratio.std()), low, high, off)


def gradient_share(
    model: DetectionModel, own: Mapping[int, Tensor], batch: Batch, hyp: Hyperparameters
) -> float:
    """Norm of the attention's gradients by that of all, of the loss of one batch; batch norms use
    what they learned.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    size = (batch.images.shape[2], batch.images.shape[3])
    total, _ = build_loss(model.spec, hyp, max(size))(
        model(batch.images.float() / 255), batch.targets, size
    )
    total.backward()
    square = {
        id(value): float(value.grad.square().sum())
        for value in model.parameters()
        if value.grad is not None
    }
    everything = sum(square.values())
    return math.sqrt(sum(square.get(key, 0.0) for key in own) / everything) if everything else 0.0
