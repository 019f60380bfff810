"""What a network costs: parameters, GFLOPs, and milliseconds measured under the same conditions.

All networks are timed in turn, round after round, so that a slower minute of the machine affects
each of them. Only the forward pass of the fused network is timed, in float32, without reading,
preparing and suppression.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.compare.groups import RunGroup
from engine.compare.settings import CompareConfig
from models.costs.profile import count_costs, gigaflops, whole_size
from models.costs.turns import seconds_in_turn
from models.weights.load import load_model
from models.yolo import DetectionModel
from utils.device import arrange, device_name, layout_of, take_device
from utils.errors import UserError

USUAL_SIZE = 640  # pixels, where no run says what it was trained with


@dataclass(frozen=True)
class NetworkCosts:
    """The costs of one group's network.

    Attributes:
        parameters: Their number, as trained.
        gflops: 2 x multiply-adds of the fused network for one image, in 1e9.
        milliseconds: Median over the rounds per image; None where nothing was timed.
    """

    parameters: int
    gflops: float
    milliseconds: float | None = None

    @property
    def images_per_second(self) -> float | None:
        """The reciprocal of the time."""
        return 1000 / self.milliseconds if self.milliseconds else None


@dataclass(frozen=True)
class MeasuredCosts:
    """Costs by the groups' names, how they were found, and notes on what is missing."""

    by_label: Mapping[str, NetworkCosts]
    conditions: str
    notes: Sequence[str] = ()


def measure_networks(groups: Sequence[RunGroup], config: CompareConfig) -> MeasuredCosts:
    """Count and time the network of each group, whose checkpoint is that of its first run.

    A checkpoint that is missing or cannot be read becomes a note.
    """
    size = config.imgsz or usual_size(groups)
    counted: dict[str, NetworkCosts] = {}
    paths: dict[str, Path] = {}
    notes = []
    for group in groups:
        path = next((run.weights for run in group.runs if run.weights), None)
        if path is None:
            notes.append(f"{group.label}: its weights are gone, so its costs are not known")
            continue
        try:
            counted[group.label] = count_network(load_model(path, fuse=False), size)
        except UserError as error:
            notes.append(f"{group.label}: costs are not known: {error}")
        else:
            paths[group.label] = path
    said = f"GFLOPs (2 × multiply-adds) of one image of {size} × {size} pixels"
    if config.notime or not paths:
        return MeasuredCosts(counted, f"{said}.", notes)
    device = take_device(config.device)
    models = {name: load_model(path, device) for name, path in paths.items()}
    times = time_networks(models, (config.batch_size, size), config)
    counted = {
        name: replace(costs, milliseconds=1000 * times[name] / config.batch_size)
        for name, costs in counted.items()
    }
    return MeasuredCosts(counted, f"{said}; {describe_timing(device, config)}.", notes)


def describe_timing(device: torch.device, config: CompareConfig) -> str:
    """How time was measured: device, batch, warm-up, rounds."""
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return (
        f"milliseconds per image of the forward pass of the fused network in float32 on"
        f" {device_name(device)}{threads} (torch {torch.__version__}), batch {config.batch_size},"
        f" median of {config.rounds} rounds after {config.warmup} warm-up passes, networks in turn;"
        " without reading, preparing and suppression; FPS = 1000 / ms"
    )


def usual_size(groups: Sequence[RunGroup]) -> int:
    """The largest image size that the runs were trained with, pixels."""
    sizes = [run.settings.get("imgsz") for group in groups for run in group.runs]
    return max((size for size in sizes if type(size) is int and size >= 32), default=USUAL_SIZE)


def count_network(model: DetectionModel, size: int) -> NetworkCosts:
    """Parameters of a network that is not fused, and its GFLOPs at size x size pixels."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with torch.device("meta"):
        shapes = DetectionModel(model.graph)
    return NetworkCosts(parameters, gigaflops(count_costs(shapes, whole_size(size, shapes)))[0])


def time_networks(
    models: Mapping[str, DetectionModel], shape: tuple[int, int], config: CompareConfig
) -> dict[str, float]:
    """Time networks in rounds, each of which runs all of them once.

    Args:
        models: Fused networks by name, on the device.
        shape: Images per batch, and side of the images in pixels.
        config: The numbers of warm-up passes and rounds.

    Returns:
        Median seconds of a batch, by name.
    """
    batch, size = shape
    inputs = {}
    for name, model in models.items():
        device = next(model.parameters()).device
        arrange(model, device)
        side = whole_size(size, model)
        images = torch.zeros(batch, model.graph["ch"], side, side, device=device)
        inputs[name] = images.contiguous(memory_format=layout_of(device))
    times = seconds_in_turn(models, inputs, config.warmup, config.rounds)
    return {name: statistics.median(own) for name, own in times.items()}
