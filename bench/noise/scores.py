"""Several scores of one run: other averages of its weights, and other views of the images."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.noise.run import WIDTHS
from data.scanning.load import load_dataset
from engine.detector_model import DetectorModel
from engine.evaluation.evaluate import EvalSettings, Evaluator
from engine.evaluation.metrics import Evaluation
from engine.evaluation.settings import ValConfig
from engine.evaluation.tasks import ValidationTask, make_loader
from models.weights.load import load_model

LAST = 3  # epochs whose scores are averaged
SCALES = (0.8, 1.25)  # of the images' side, further views
BOOTSTRAPS = 400  # resampled test sets
USUAL, MEAN, FINAL = "best epoch", f"mean of the last {LAST} epochs", "last epoch"
MAP_COLUMN = "metrics/mAP_0.5:0.95"
Scores = dict[str, float | list[float]]


class Mirrored(nn.Module):
    """A detector that looks at the mirrored images, and mirrors its boxes back."""

    def __init__(self, model: DetectorModel) -> None:
        super().__init__()
        self.model, self.family = model, model.family
        self.names, self.stride, self.channels = model.names, model.stride, model.channels

    def forward(self, images: Tensor) -> tuple[Tensor, object]:
        """Images [B, 3, H, W] to decoded predictions as those of the model."""
        decoded, raw = self.model(images.flip(3))
        centres = decoded[..., 0] if self.family.has_objectness else decoded[:, 0]
        centres.neg_().add_(images.shape[3])
        return decoded, raw


class Scorer:
    """Scores models on the validation images of a data set.

    Args:
        data: its YAML.
        imgsz: the side that the models were trained at.
    """

    def __init__(self, data: str, imgsz: int) -> None:
        self.data, self.imgsz, self.index = data, imgsz, load_dataset(data, "val")

    def evaluation(self, model: DetectorModel, scale: float = 1.0) -> Evaluation:
        """All images, matched, at the training's size times `scale`."""
        config = ValConfig(data=self.data, batch_size=32, workers=0)
        task = ValidationTask(config, model, "", self.index, Path(), (), "val")
        evaluator = Evaluator(model, EvalSettings(), Evaluation(len(self.index.names)))
        with torch.no_grad():
            for batch in make_loader(task, round(self.imgsz * scale)):
                evaluator.compare(batch, evaluator.detect(batch))
        return evaluator.evaluation

    def score(self, evaluation: Evaluation) -> float:
        """mAP50-95, 0..1."""
        return float(evaluation.result(dict(self.index.names)).map)

    def views(self, model: DetectorModel) -> tuple[Evaluation, list[float]]:
        """The usual evaluation, and the scores of all views: usual, mirrored, other sizes."""
        usual = self.evaluation(model)
        others = [
            self.evaluation(cast(DetectorModel, Mirrored(model).eval())),
            *(self.evaluation(model, scale) for scale in SCALES),
        ]
        return usual, [self.score(one) for one in (usual, *others)]


def resampled(evaluation: Evaluation, scorer: Scorer) -> list[float]:
    """The scores of test sets that are drawn from the images, with repetition, always the same."""
    generator, scores = np.random.default_rng(0), []
    for _ in range(BOOTSTRAPS):
        other = Evaluation(evaluation.class_count)
        draw = generator.integers(0, evaluation.images, evaluation.images)
        for name in ("detections", "labels", "correct", "unscored", "ignored"):
            whole = getattr(evaluation, name)
            getattr(other, name).extend(whole[number] for number in draw)
        scores.append(scorer.score(other))
    return scores


def scores_of(folder: Path, averages: Path, scorer: Scorer) -> Scores:
    """Every score of a run; "bootstrap" has those of resampled test sets.

    Args:
        folder: of the run.
        averages: the file that bench/noise/run.py has written.
        scorer: of its data set and size.
    """
    with open(folder / "results.csv", newline="") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        curve = [float(row[MAP_COLUMN]) for row in rows]
    best = json.loads((folder / "metrics.json").read_text())["map"]
    found: Scores = {USUAL: best, MEAN: float(np.mean(curve[-LAST:])), FINAL: curve[-1]}
    states = torch.load(averages, weights_only=True)
    for width in (0.0, *WIDTHS):
        model = load_model(folder / "weights" / "last.pt", fuse=False)
        if width:
            model.load_state_dict(states[width])
        usual, views = scorer.views(model.fuse().eval())
        found |= named(f"average {width}" if width else "usual average", views)
        if not width:
            found["bootstrap"] = resampled(usual, scorer)
    return found


def named(name: str, views: Sequence[float]) -> Scores:
    """The scores of an average by one view, two and all."""
    return {
        name: views[0],
        f"{name}, mirrored too": float(np.mean(views[:2])),
        f"{name}, mirrored, {len(SCALES) + 1} sizes": float(np.mean(views)),
    }
