"""The costs of each arm: size, operations and latency of its graph, time and memory of training.

Latencies are compared under the same conditions: arms and the baseline are timed in turn, round
after round, so that a slower minute of the machine affects all of them. They are measured once for
a study and kept in its costs.json, so that a study that was interrupted reports the same figures.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablation.config import StudyConfig
from ablation.report.summary import by_arm, seconds_of
from ablation.results import CellResult, Costs
from ablation.setup import arm_graph
from ablation.study import PLAIN, Arm
from models.costs.profile import count_costs, gigaflops, whole_size
from models.costs.turns import seconds_in_turn
from models.yolo import DetectionModel
from utils.device import arrange, device_name, find_devices, use_device
from utils.errors import UserError
from utils.files import atomic_write
from utils.regular_file import read_limited

GraphRows = Mapping[str, Any]

MAX_ROUNDS, MIN_ROUNDS = 50, 5  # in which a group of arms is timed
GROUP_SECONDS = 60.0  # no round begins later than this, except for the first MIN_ROUNDS
GROUP_SIZE = 8  # graphs in memory at a time, besides the baseline
WARM_UP_ROUNDS = 2


def measure_costs(
    config: StudyConfig, arms: Sequence[Arm], kept: Path | None = None
) -> dict[str, Costs]:
    """Measure every arm's graph at the study's image size on the study's device.

    Args:
        config: the flags.
        arms: the arms to measure, with the baseline among them.
        kept: the study's costs.json. Its measurements of the same graphs on the same device are
            used, and new ones are added to it.

    Returns:
        Costs by the arm's name, without those of training.

    Raises:
        UserError: a graph cannot be built.
    """
    graphs = {arm.name: arm_graph(config, arm) for arm in arms}
    device = find_devices(config.device)[0]
    use_device(device)
    keys = {name: fingerprint(graph, config.imgsz, device) for name, graph in graphs.items()}
    known = read_kept(kept)
    missing = {keys[name]: graph for name, graph in graphs.items() if keys[name] not in known}
    if missing:
        known |= cost_graphs(graphs[PLAIN], missing, config.imgsz, device)
        if kept is not None:
            write_kept(kept, known)
    return {name: known[key] for name, key in keys.items()}


def fingerprint(graph: GraphRows, imgsz: int, device: torch.device) -> str:
    """Everything that a measurement depends on, as text.

    Args:
        graph: the graph, whose file name is ignored.
        imgsz: side of the image, pixels.
        device: where latency is measured; two GPUs of the same name are alike.
    """
    rows = {key: value for key, value in graph.items() if key != "yaml_file"}
    return json.dumps([rows, imgsz, device_name(device)], sort_keys=True, default=str)


def read_kept(path: Path | None) -> dict[str, Costs]:
    """Earlier measurements by fingerprint, or {} if the file is missing or not readable."""
    try:
        content = json.loads(read_limited(path)) if path else []
        return {entry["of"]: Costs(**entry["costs"]) for entry in content}
    except (UserError, ValueError, TypeError, KeyError, RecursionError):
        return {}  # The costs are measured again.


def write_kept(path: Path, known: Mapping[str, Costs]) -> None:
    entries = [{"of": key, "costs": dataclasses.asdict(value)} for key, value in known.items()]
    with atomic_write(path, "w") as file:
        json.dump(entries, file, indent=1)


def cost_graphs(
    plain: GraphRows, graphs: Mapping[str, GraphRows], imgsz: int, device: torch.device
) -> dict[str, Costs]:
    """Count the costs of graphs, and time them in groups, each in turn with the baseline.

    Args:
        plain: the baseline's graph.
        graphs: the graphs to measure, by any key.
        imgsz: side of the image, pixels; rounded up to the stride.
        device: where to measure latency.

    Returns:
        Costs by the same keys.
    """
    found: dict[str, Costs] = {}
    base = build_fused(plain, device)
    size = whole_size(imgsz, base)
    x = torch.zeros(1, base.graph["ch"], size, size, device=device)
    # A study may have more graphs than fit into memory at once.
    for group in groups(list(graphs), GROUP_SIZE):
        models = {key: build_fused(graphs[key], device) for key in group}
        times = time_in_turn({"": base, **models}, x)
        for key in group:
            milliseconds, ratio = times[key]
            counted = count_graph(graphs[key], size)
            # The baseline in turn with itself would have a ratio of nearly 1.
            ratio = 1.0 if graphs[key] == plain else ratio
            found[key] = dataclasses.replace(counted, latency_ms=milliseconds, latency_ratio=ratio)
    return found


def build_fused(graph: GraphRows, device: torch.device) -> DetectionModel:
    """The network as it would be deployed, with initial weights, which do not affect its speed."""
    return arrange(DetectionModel(graph).to(device).eval().fuse(), device)


def count_graph(graph: GraphRows, size: int) -> Costs:
    """Count parameters, operations and memory traffic for an image of `size` x `size` pixels."""
    with torch.device("meta"):
        model = DetectionModel(graph)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    costs = count_costs(model, size)
    return Costs(parameters, gigaflops(costs)[0], sum(cost.moved for cost in costs) / 1e6)


def groups(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def time_in_turn(
    models: Mapping[str, nn.Module], x: Tensor, seconds: float = GROUP_SECONDS
) -> dict[str, tuple[float, float]]:
    """Time networks in rounds, each of which runs all of them once.

    Args:
        models: networks by name, the first one being the reference.
        x: the input [1, channels, size, size] of each.
        seconds: no round begins later than this, except for the first MIN_ROUNDS.

    Returns:
        Median milliseconds of each network, and the median ratio to the reference's time in the
        same round.
    """
    first, *_ = models
    end = time.perf_counter() + seconds

    def is_enough(rounds: int) -> bool:
        return rounds >= MIN_ROUNDS and time.perf_counter() > end

    inputs = dict.fromkeys(models, x)
    times = seconds_in_turn(models, inputs, WARM_UP_ROUNDS, MAX_ROUNDS, is_enough)
    return {
        name: (
            1000 * statistics.median(own),
            statistics.median(a / b for a, b in zip(own, times[first], strict=True)),
        )
        for name, own in times.items()
    }


def add_training(costs: Mapping[str, Costs], cells: Iterable[CellResult]) -> dict[str, Costs]:
    """Add the training costs of the finished cells: mean seconds, largest memory."""
    found = dict(costs)
    for name, own in by_arm(cells).items():
        if name in found:
            seconds = [value for cell in own.values() if (value := seconds_of(cell)) is not None]
            memory = [
                value for cell in own.values() if (value := cell.metric("memory_mb")) is not None
            ]
            found[name] = dataclasses.replace(
                found[name],
                train_seconds=statistics.fmean(seconds) if seconds else None,
                memory_mb=max(memory, default=None),
            )
    return found
