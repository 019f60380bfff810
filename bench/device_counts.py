"""What a training step asks of a GPU, without one: launches, waits of the host, blocking copies.

    python -m bench.device_counts
    python -m bench.device_counts yolov5s_EMA.yaml yolo11.yaml --capability 7.0

A whole step of train.py runs on the simulated device of the tests: forward pass, loss, backward
pass, gradients, optimizer and averaged weights. On small maps a GPU is as fast as its host launches
operations, and it stands still while the host waits or copies, so these counts are what can be
improved and checked on any machine. Time is not simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch

import train
from data.loader import Loader
from engine.training.dist import World
from engine.training.ema import ModelEMA
from engine.training.logbook import StepTiming
from engine.training.optim import Schedule, make_optimizer
from engine.training.run import Progress, Run, Setup, Splits, TrainingState
from engine.training.sparsity import Sparsity
from models.graph.load import load_graph
from models.losses import build_loss
from models.yolo import DetectionModel
from tests.simulated_cuda import COUNTS, CUDA, simulate, simulated_cuda
from utils.config import TrainConfig
from utils.families import family_of
from utils.files import ROOT
from utils.hyperparameters import Hyperparameters
from utils.structures import Batch

HEADERS = ("graph", "launches", "waits", "copies", "lines that wait or copy")
BATCH, SIDE, OBJECTS, CLASSES = 2, 64, 8, 80
CAPABILITIES = {"8.0": (8, 0), "7.0": (7, 0)}  # bf16, and fp16 with a scaler


class StepCounts(NamedTuple):
    """A step's launches, waits and blocking copies, and the lines that wait."""

    launches: int
    waits: int
    copies: int
    lines: str


def count_step(
    cfg: str, capability: tuple[int, int] = (8, 0), optimizer: str = "SGD", steps: int = 2
) -> StepCounts:
    """Count the last of some steps of a graph on the simulated device; each one updates weights.

    Args:
        cfg: Model YAML; of a graph with several sizes the smallest is taken.
        capability: Of the device: (8, 0) multiplies in bf16, (7, 0) in fp16.
        optimizer: SGD, Adam or AdamW.
        steps: The first one makes constants and the optimizer's state.
    """
    graph = load_graph(cfg)
    model = DetectionModel(graph, class_count=CLASSES, seed=0)
    side = max(SIDE, 2 * int(model.stride.max()))
    config = TrainConfig(cfg=cfg, optimizer=optimizer, batch_size=BATCH, imgsz=side)
    with simulated_cuda(capability):
        torch.use_deterministic_algorithms(True, warn_only=True)  # as in training
        run = simulated_run(cast(DetectionModel, simulate(model)), config)
        for _ in range(steps):
            COUNTS.clear()
            train.train_batch(run, example_batch(side), StepTiming())
    lines = ", ".join(sorted(COUNTS.waits + COUNTS.copies))
    return StepCounts(COUNTS.operations, COUNTS.waits.total(), COUNTS.copies.total(), lines)


def simulated_run(model: DetectionModel, config: TrainConfig) -> Run:
    """A run of a model on the simulated device, ready for train_batch(), without data."""
    hyp = dataclasses.replace(Hyperparameters(), nominal_batch=BATCH, warmup_iterations=0)
    family, loss = family_of(model.graph), build_loss(model.spec, hyp, config.imgsz)
    loaders = cast(tuple[Loader, Loader], ([None] * 100, []))
    setup = Setup(
        config, hyp, Path(), World(), CUDA, cast(Splits, ()), loaders, loss,
        Schedule(config, hyp, 100, family),
    )  # fmt: skip
    scaler = torch.amp.GradScaler("cuda", enabled=torch.cuda.get_device_capability() < (8, 0))
    state = TrainingState(
        model.train(), model, ModelEMA(model), make_optimizer(model, config, hyp), scaler,
        Sparsity(model, 0), Progress(loss_sums=[0.0] * len(loss.names)),
    )  # fmt: skip
    return Run(setup, state)


def example_batch(side: int) -> Batch:
    """Random images of side x side pixels with OBJECTS boxes each, always the same, pinned."""
    draw = np.random.default_rng(0)
    pixels = torch.from_numpy(draw.integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8))
    centre = draw.uniform(0.2, 0.8, (BATCH * OBJECTS, 2)) * side
    half = draw.uniform(0.03, 0.2, (BATCH * OBJECTS, 2)) * side
    owner = np.arange(BATCH).repeat(OBJECTS)
    label = draw.integers(CLASSES, size=BATCH * OBJECTS)
    rows = np.column_stack((owner, label, centre - half, centre + half)).astype(np.float32)
    whole = ((side, side),) * BATCH, ((1.0, 1.0),) * BATCH, ((0.0, 0.0),) * BATCH
    paths = tuple(f"{number}.jpg" for number in range(BATCH))
    images, targets = pixels.pin_memory().permute(0, 3, 1, 2), torch.from_numpy(rows)
    return Batch(images, targets.pin_memory(), tuple(range(BATCH)), paths, *whole)


def shipped_graphs() -> list[str]:
    """The model YAMLs of this project, by name."""
    return sorted(path.name for path in (ROOT / "models").rglob("*.yaml"))


def count_all(argv: Sequence[str] | None = None) -> None:
    """Print a row for each graph."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cfg", nargs="*", help="model YAMLs; by default all that are here")
    parser.add_argument(
        "--capability", choices=CAPABILITIES, default="8.0", help="7.0 trains in fp16"
    )
    parser.add_argument("--optimizer", default="SGD", choices=("SGD", "Adam", "AdamW"))
    flags = parser.parse_args(argv)
    print(row_text(*HEADERS))
    for cfg in flags.cfg or shipped_graphs():  # minutes for all, so that each is told at once
        counts = count_step(cfg, CAPABILITIES[flags.capability], flags.optimizer)
        print(row_text(cfg, *map(str, counts)), flush=True)


def row_text(*cells: str) -> str:
    """A row of the table: a name, three numbers, and the lines that wait."""
    name, *numbers, lines = cells
    return f"{name:<32}" + "".join(f"{number:>10}" for number in numbers) + f"  {lines}"


if __name__ == "__main__":
    count_all()
