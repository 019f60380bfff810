"""Measurements of a trained network's attention: how it scales its input, how much it learns.

They are made on a finished cell's best.pt and a few validation images, the same ones for every arm.
clues.py puts these figures into words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from data.dataset import DatasetSettings
from data.loader import spread_batch
from data.scanning.load import load_dataset
from engine.training.start_change import head_change
from models.attention import attention_of
from models.losses import build_loss
from models.weights.load import from_checkpoint
from models.yolo import DetectionModel
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.config import Hyperparameters
from utils.structures import Batch

IMAGES = 8  # validation images that are measured
SAMPLES = 20_000  # largest number of ratios that are kept for each module
# The ratio to an input near zero is noise, so inputs below this share of the map's root mean square
# are skipped.
SMALL = 0.1
EDGE = 0.05  # of the gate's range, on either side
ROUNDING = 0.01  # by which a gate's ratios may leave its range in float32

Hook = Callable[[nn.Module, "tuple[Tensor, ...]", Tensor], None]


@dataclass(frozen=True)
class GateStats:
    """The ratio output / input of an attention module over positions, channels and images.

    Attributes:
        name: name of the module in the network.
        kind: name of its class.
        mean: mean of the ratio.
        spread: standard deviation of the ratio.
        low: share of gate values in the lowest twentieth of their range; None for a module that is
            not a gate, because it creates or moves values.
        high: share of gate values in the highest twentieth; None likewise.
        alpha: factor of an identity start, 1 being all of the module; None without such a start.
        parameters: number of the module's parameters.
    """

    name: str
    kind: str
    mean: float
    spread: float
    low: float | None
    high: float | None
    alpha: float | None
    parameters: int

    @property
    def saturation(self) -> float:
        """Share of gate values that hardly let a gradient through; 0 if it is not a gate."""
        return (self.low or 0.0) + (self.high or 0.0)


@dataclass(frozen=True)
class Health:
    """The attention of one network.

    Attributes:
        gates: statistics of each module.
        gradient_share: norm of all modules' gradients divided by that of the whole network.
        parameter_share: their number of parameters divided by that of the whole network.
        change: how far they move what the head gets (engine/training/start_change.py); None if a
            module cannot be left out.
    """

    gates: tuple[GateStats, ...]
    gradient_share: float
    parameter_share: float
    change: float | None = None


def measure_attention(best: Path) -> Health | None:
    """Measure the attention of a best.pt on validation images of its own data set.

    Returns None if it has no attention. Raises UserError if the checkpoint or the data set cannot
    be read.
    """
    checkpoint = checkpoints.read(best)
    return measure_model(from_checkpoint(checkpoint).float(), checkpoint, str(best))


def measure_model(model: DetectionModel, checkpoint: Checkpoint, where: str) -> Health | None:
    """Measure the attention of a network on validation images.

    Args:
        model: the network, whose mode and gradients change.
        checkpoint: has the data set, the size of the images and the hyperparameters.
        where: its file, for errors.

    Returns:
        The measurements; None without attention.

    Raises:
        UserError: The data set cannot be read.
    """
    modules = attention_of(model)
    if not modules:
        return None
    hyp = Hyperparameters.from_mapping(checkpoint.hyp, where)
    imgsz = int(checkpoint.config["imgsz"])
    data = checkpoint.data or str(checkpoint.config["data"])
    batch = read_batch(data, imgsz, int(max(model.head.strides)), hyp, model.channels)
    images = batch.images.float() / 255
    with record_ratios(modules) as seen, torch.no_grad():
        model.eval()(images)
    gates = tuple(describe_gate(name, module, seen[name]) for name, module in modules.items())
    own = {id(value): value for module in modules.values() for value in module.parameters()}
    share = sum(value.numel() for value in own.values()) / sum(
        value.numel() for value in model.parameters()
    )
    change = head_change(model, images)
    return Health(gates, gradient_share(model, own, batch, hyp), share, change)


def read_batch(
    data: str, imgsz: int, stride: int, hyp: Hyperparameters, channels: int = 3
) -> Batch:
    """A few validation images, evenly spread over the split, without augmentation.

    Args:
        data: data set YAML.
        imgsz: side of the images, pixels.
        stride: largest stride of the network, pixels.
        hyp: hyperparameters of its training.
        channels: of the network's input.

    Returns:
        The batch.
    """
    settings = DatasetSettings(imgsz, hyp, batch_size=IMAGES, stride=stride, channels=channels)
    return spread_batch(load_dataset(data, "val"), settings)


@contextmanager
def record_ratios(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Within the block, a forward pass stores each module's output / input in the dictionary."""
    seen: dict[str, Tensor] = {}

    def hook_for(name: str) -> Hook:
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
    """Evenly spread samples of out / x, at most SAMPLES, where x is not near zero.

    x and out are maps [batch, channels, height, width]. Where their shapes differ the module is not
    a factor, and there are no samples.
    """
    if out.shape != x.shape:
        return torch.zeros(0)
    x, out = x.detach().float().flatten(), out.detach().float().flatten()
    step = max(1, x.numel() // (2 * SAMPLES))
    # Maps have sides such as 80 or 40, and a step that divides them would take the same columns.
    step += step % 2 == 0 or step % 5 == 0
    x, out = x[::step], out[::step]
    large = x.abs() > SMALL * x.square().mean().sqrt()
    return (out[large] / x[large])[:SAMPLES]


def describe_gate(name: str, module: nn.Module, ratio: Tensor) -> GateStats:
    """Summarise a module's ratios.

    Args:
        name: name of the module in the network.
        module: the module.
        ratio: samples [n] of its output / input; the figures are nan if there are none.
    """
    kind = type(module).__name__
    alpha = getattr(module, "identity_alpha", getattr(module, "alpha", None))
    off = float(alpha.detach()) if isinstance(alpha, nn.Parameter) and alpha.dim() == 0 else None
    count = sum(one.numel() for one in module.parameters())
    if not len(ratio):
        return GateStats(name, kind, math.nan, math.nan, None, None, off, count)
    ends = torch.quantile(ratio, torch.tensor([0.001, 0.999]))
    # A sigmoid gate scales by 0..1, and one with a residual connection by 1..2.
    floors = (
        start
        for start in (0.0, 1.0)
        if start - ROUNDING <= ends[0] and ends[1] <= start + 1 + ROUNDING
    )
    floor, low, high = next(floors, None), None, None
    if floor is not None:
        low = float((ratio < floor + EDGE).float().mean())
        high = float((ratio > floor + 1 - EDGE).float().mean())
    mean, spread = float(ratio.mean()), float(ratio.std())
    return GateStats(name, kind, mean, spread, low, high, off, count)


def gradient_share(
    model: DetectionModel, own: Mapping[int, Tensor], batch: Batch, hyp: Hyperparameters
) -> float:
    """Norm of the attention's gradients of one batch's loss, divided by that of all gradients.

    Args:
        model: the network; its gradients and its mode change.
        own: the attention's parameters by id().
        batch: images and targets.
        hyp: hyperparameters of its training.
    """
    model.train()
    # Batch norms use their running statistics, as a few images have no reliable ones of their own.
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
