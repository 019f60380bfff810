"""What each arm costs: parameters, GFLOPs, bytes moved and latency of its graph; seconds and memory
of its training.

Latency is a ratio of two graphs under the same conditions: arms and the plain graph take turns,
round after round, so that a slower minute of the machine falls on all of them. It is measured once
for a study and kept in its costs.json, so that a study that was interrupted reports the same
figures.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ablation.report.summary import by_arm, seconds_of
from ablation.setup import graph_of
from ablation.study import PLAIN, Costs
from models.costs.profile import count_costs, gigaflops, whole_size
from models.yolo import DetectionModel
from utils.device import select_device
from utils.files import atomic_write

if TYPE_CHECKING:
    from ablation.study import Arm, CellResult, StudyConfig

SECONDS, ROUNDS, FEWEST = (
    60.0,
    50,
    5,
)  # of timing a group of arms: at most, at most, and rounds at least
TOGETHER = 8  # graphs in memory at a time, the plain one with each group
WARM_UP = 2


def measure_costs(
    config: StudyConfig, arms: Sequence[Arm], kept: Path | None = None
) -> dict[str, Costs]:
    """Costs of every arm's graph at the study's image size on the study's device, by arm name.

    arms: the plain one among them. kept: the study's costs.json; what it holds for the same graphs
    and device is believed, what is new is added. Raises UserError for a graph that cannot be built.
    """
    graphs = {arm.name: graph_of(config, arm) for arm in arms}
    device = select_device(config.device.split(",")[0])
    keys = {name: fingerprint(graph, config.imgsz, device) for name, graph in graphs.items()}
    known = read_kept(kept)
    missing = {keys[name]: graph for name, graph in graphs.items() if keys[name] not in known}
    if missing:
        known |= measure_graphs(graphs[PLAIN], missing, config.imgsz, device)
        if kept is not None:
            write_kept(kept, known)
    return {name: known[key] for name, key in keys.items()}


def fingerprint(graph: Mapping[str, Any], imgsz: int, device: torch.device) -> str:
    """What a measurement depends on, as text: the graph's rows, the image's size, the device."""
    rows = {key: value for key, value in graph.items() if key != "yaml_file"}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return json.dumps([rows, imgsz, name], sort_keys=True, default=str)


def read_kept(path: Path | None) -> dict[str, Costs]:
    """What was measured before, by fingerprint; nothing if the file is not there, or not as we
    write it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path else []
        return {entry["of"]: Costs(**entry["costs"]) for entry in content}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write_kept(path: Path, known: Mapping[str, Costs]) -> None:
    entries = [{"of": key, "costs": dataclasses.asdict(value)} for key, value in known.items()]
    with atomic_write(path, "w") as file:
        json.dump(entries, file, indent=1)


def measure_graphs(
    plain: Mapping[str, Any],
    graphs: Mapping[str, Mapping[str, Any]],
    imgsz: int,
    device: torch.device,
) -> dict[str, Costs]:
    """Costs of graphs by key: counted, then timed in groups, each in turn with the plain graph."""
    found: dict[str, Costs] = {}
    base = build_fused(plain, device)
    size = whole_size(imgsz, base)
    x = torch.zeros(1, base.graph["ch"], size, size, device=device)
    for group in groups(list(graphs), TOGETHER):
        models = {key: build_fused(graphs[key], device) for key in group}
        times = time_in_turn({"": base, **models}, x)
        for key in group:
            milliseconds, ratio = times[key]
            counted = count_graph(graphs[key], size)
            ratio = 1.0 if graphs[key] == plain else ratio
            found[key] = dataclasses.replace(counted, latency_ms=milliseconds, latency_ratio=ratio)
    return found


def build_fused(graph: Mapping[str, Any], device: torch.device) -> DetectionModel:
    """The network as it would be used, its weights not trained, since they do not matter to time."""
    model = DetectionModel(graph).to(device).eval().fuse()
    return model.to(memory_format=torch.channels_last) if device.type != "mps" else model


def count_graph(graph: Mapping[str, Any], size: int) -> Costs:
    """What can be counted without computing anything."""
    with torch.device("meta"):
        model = DetectionModel(graph)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    costs = count_costs(model, size)
    return Costs(parameters, gigaflops(costs)[0], sum(cost.moved for cost in costs) / 1e6)


def groups(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def time_in_turn(
    models: Mapping[str, nn.Module], x: Tensor, seconds: float = SECONDS
) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each network, and of the ratios to the first one's time in the same
    round.

    All run once a round, so that they share the machine's better and worse minutes.
    """
    first, *_ = models
    times: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        for _ in range(WARM_UP):
            time_once(model, x)
    end = time.perf_counter() + seconds
    for number in range(ROUNDS):
        if number >= FEWEST and time.perf_counter() > end:
            break
        for name, model in models.items():
            times[name].append(time_once(model, x))
    return {
        name: (
            1000 * statistics.median(own),
            statistics.median(a / b for a, b in zip(own, times[first], strict=True)),
        )
        for name, own in times.items()
    }


@torch.inference_mode()
def time_once(model: nn.Module, x: Tensor) -> float:
    """Seconds of one forward pass, the device being idle before and after."""
    wait(x.device)
    start = time.perf_counter()
    model(x)
    wait(x.device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def add_training(costs: Mapping[str, Costs], cells: Iterable[CellResult]) -> dict[str, Costs]:
    """The same costs with what training took in the finished cells: mean seconds, largest memory."""
    found = dict(costs)
    for name, own in by_arm(cells).items():
        if name in found:
            seconds = [value for cell in own.values() if (value := seconds_of(cell)) is not None]
            memory = [
                value
                for cell in own.values()
                if (value := cell.metrics.get("memory_mb")) is not None
            ]
            spent = statistics.fmean(seconds) if seconds else None
            found[name] = dataclasses.replace(
                found[name], train_seconds=spent, memory_mb=max(memory, default=None)
            )
    return found
