"""What callbacks get: position, scores, files and results of a training or another call."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

from api.callbacks import Callbacks
from api.results import Results
from api.scores import DetMetrics
from engine.inference.settings import DetectConfig
from engine.training.run import Run
from models.yolo import DetectionModel
from utils.structures import Metrics


class Validator:
    """What callbacks of on_val_start and on_val_end get.

    Attributes:
        metrics: the scores; None before on_val_end.
        names: class number -> name.
        save_dir: folder of charts and files; None where nothing is written.
        training: whether it is the validation after an epoch.
    """

    def __init__(self, names: dict[int, str], save_dir: Path | None, training: bool) -> None:
        self.names, self.save_dir, self.training = names, save_dir, training
        self.metrics: DetMetrics | None = None

    @property
    def speed(self) -> dict[str, float]:
        """Milliseconds per image of each stage; {} before on_val_end."""
        return self.metrics.speed if self.metrics else {}


class Predictor:
    """What callbacks of a prediction get.

    Attributes:
        results: at on_predict_batch_end the Results of one image or frame; predict() returns what
            the list holds after the callbacks.
        args: all flags, as attributes.
        save_dir: the folder of files; None where nothing is written.
    """

    def __init__(self, config: DetectConfig, save_dir: Path | None) -> None:
        self.args, self.save_dir = SimpleNamespace(**asdict(config)), save_dir
        self.results: list[Results] = []


class Trainer:
    """What callbacks of a training get.

    Attributes:
        epoch, epochs: number of the current epoch, from 0; number of all.
        stop: set it to True to end the run after the current epoch.
        metrics: the mean scores and validation losses by Ultralytics' names, {} before the first
            validation; at on_train_end those of the best epoch.
        fitness: of the last validation.
        validator: what callbacks of the validation get.
        save_dir, last, best, csv: the run's folder, checkpoints and results.csv.
        args: all flags and hyperparameters of the run, as attributes.
        loss_names: names of the terms of the loss.
    """

    def __init__(self, run: Run) -> None:
        setup, progress = run.setup, run.state.progress
        self.epoch, self.epochs = progress.epoch, setup.config.epochs
        self.stop, self.fitness, self.metrics = False, 0.0, dict[str, float]()
        self.save_dir, self.last, self.best = setup.folder, setup.last, setup.best
        self.csv, self.device = setup.folder / "results.csv", setup.device
        self.args = SimpleNamespace(**{**setup.config.plain(), **asdict(setup.hyp)})
        self.loss_names = [f"{name}_loss" for name in setup.loss.names]
        self.validator = Validator(run.state.model.names, setup.folder, training=True)
        self._state, self._batches = run.state, len(setup.loaders[0])

    @property
    def model(self) -> DetectionModel:
        """The network that learns."""
        return self._state.model

    @property
    def ema(self) -> nn.Module:
        """The network with averaged weights, which is validated and saved."""
        return self._state.ema.module

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._state.optimizer

    @property
    def best_fitness(self) -> float:
        """The highest fitness so far."""
        return self._state.progress.best_fitness

    @property
    def lr(self) -> dict[str, float]:
        """The rate of each group of parameters: lr/pg0, lr/pg1 …"""
        groups = self.optimizer.param_groups
        return {f"lr/pg{number}": float(group["lr"]) for number, group in enumerate(groups)}

    @property
    def tloss(self) -> dict[str, float]:
        """The mean of each term of the loss over the epoch's batches."""
        progress = self._state.progress
        batches = progress.batch or self._batches  # the number is back at 0 after an epoch
        means = [total / batches for total in progress.loss_sums]
        return dict(zip(self.loss_names, means, strict=False))  # none before the first epoch

    def label_loss_items(self, terms: dict[str, float], prefix: str = "train") -> dict[str, float]:
        """The terms with a prefix before their names, such as train/box_loss."""
        return {f"{prefix}/{name}": value for name, value in terms.items()}

    def take(self, metrics: Metrics) -> None:
        """Take the scores of a validation."""
        scores = DetMetrics(metrics, self.validator.names, self.save_dir)
        self.validator.metrics, self.fitness = scores, scores.fitness
        losses = zip(self.loss_names, map(float, metrics.losses), strict=False)  # maybe none
        self.metrics = {
            **dict(zip(scores.keys, scores.mean_results(), strict=True)),
            **self.label_loss_items(dict(losses), "val"),
        }


class Teller:
    """Calls callbacks at the moments of a training; see Tell in engine/training/moments.py."""

    def __init__(self, callbacks: Callbacks, trainer: Trainer) -> None:
        self.callbacks, self.trainer = callbacks, trainer

    def __call__(self, moment: str, run: Run, metrics: Metrics | None) -> str:
        trainer = self.trainer
        if moment == "on_train_epoch_start":
            trainer.epoch = run.state.progress.epoch
        if moment == "on_val_start":
            trainer.validator.metrics = None
        if metrics is not None:
            trainer.take(metrics)
        self.callbacks.call(moment, trainer.validator if moment.startswith("on_val_") else trainer)
        return "a callback has set trainer.stop" if trainer.stop else ""
