"""What a run trains, in its first lines, and what came of it, in its last ones."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

from engine.training.run import Run, Setup, TrainingState
from models.costs.profile import count_costs, gigaflops
from models.own.adapter import modules_flag
from models.yolo import DetectionModel
from utils.families import Family
from utils.files import find_file
from utils.hyperparameters import Hyperparameters
from utils.tables import format_seconds
from utils.terminal import heading
from utils.text import counted, printable
from utils.yaml_file import load_yaml

KINDS = ("biases", "weights", "norms and scales")  # of the optimizer's groups, in their order


def overview(setup: Setup, state: TrainingState) -> list[str]:
    """Lines on the model, the optimizer, and the hyperparameters that are not the family's own."""
    hyp, usual = changed_hyperparameters(setup.hyp, state.model.family)
    differing = ", ".join(f"{name} {new:g} instead of {old:g}" for name, new, old in hyp)
    return [
        f"{heading('Model')}: {model_line(state.model, setup.config.imgsz)}",
        f"{heading('Optimizer')}: {optimizer_line(setup, state)}",
        f"{heading('Hyperparameters')}: as in {usual}" + (f", but {differing}" if hyp else ""),
    ]


def model_line(model: DetectionModel, imgsz: int) -> str:
    """The model's file, rows, parameters, and GFLOPs for an image of imgsz pixels."""
    parameters = sum(one.numel() for one in model.parameters())
    learning = sum(one.numel() for one in model.parameters() if one.requires_grad)
    parts = [
        printable(model.graph.get("yaml_file", "")) or "graph without a file",
        counted(len(model.model), "row"),
        counted(parameters, "parameter"),
    ]
    if learning < parameters:
        parts.append(f"{parameters - learning:,} of them frozen")
    if not modules_flag(model):  # classes of others may compute with values, which are not there
        costs = count_costs(copy.deepcopy(model).to("meta"), imgsz)
        parts.append(f"{gigaflops(costs)[0]:.2f} GFLOPs at {imgsz} x {imgsz} pixels")
    return ", ".join(parts)


def optimizer_line(setup: Setup, state: TrainingState) -> str:
    """The optimizer, its rates, and how many tensors each of its groups has."""
    config, hyp = setup.config, setup.hyp
    faster = f"of attention at {config.attention_lr:g} times the rate"
    kinds = (*KINDS, *(f"{kind} {faster}" for kind in KINDS if config.attention_lr != 1))
    groups = [
        f"{len(group['params'])} {kind}"
        + (f" (decay {group['weight_decay']:.3g})" if group["weight_decay"] else "")
        for kind, group in zip(kinds, state.optimizer.param_groups, strict=True)
    ]
    batches = config.accumulate(hyp.nominal_batch)
    pace = "batch" if batches == 1 else f"{batches} batches"
    return (
        f"{type(state.optimizer).__name__}, lr0 {hyp.lr0:g}, momentum {hyp.momentum:g};"
        f" tensors: {', '.join(groups)}; a step every {pace} of"
        f" {counted(config.batch_size, 'image')}"
    )


def changed_hyperparameters(
    hyp: Hyperparameters, family: Family
) -> tuple[list[tuple[str, float, float]], str]:
    """Hyperparameters that are not the family's standard: (name, value, standard); and its file."""
    standard = Hyperparameters.from_mapping(
        load_yaml(find_file(family.hyp, "data/hyps")), family.hyp
    )
    found = []
    for field in dataclasses.fields(hyp):
        new, old = getattr(hyp, field.name), getattr(standard, field.name)
        if new != old:
            found.append((field.name, new, old))
    return found, family.hyp


def closing_line(run: Run, seconds: float, best_epoch: int) -> str:
    """How long the run took since its start, its best epoch, and the sizes of its checkpoints.

    Args:
        run: The finished run.
        seconds: Since this process began to train.
        best_epoch: The epoch of the chosen checkpoint.
    """
    setup = run.setup
    files = ", ".join(
        f"{path.name} {_megabytes(path)}" for path in (setup.best, setup.last) if path.exists()
    )
    epochs = counted(run.state.progress.epoch, "epoch")
    took = f"{epochs} in {format_seconds(seconds)}, best epoch {best_epoch}"
    return f"{heading('Done')}: {took}; {files}"


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
