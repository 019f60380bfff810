"""Folders of runs with chosen scores, as train.py, YOLOv5 and Ultralytics leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.evaluation.curves_file import write_curves
from engine.evaluation.metrics_file import write_metrics
from utils.files import save_yaml
from utils.structures import ClassCurves, ClassMetrics, EvaluationDetails, Metrics

NAMES = ("cat", "dog & cat")


def metrics_of(score: float, protocol: str = "yolov5") -> Metrics:
    """Scores around this mAP50-95, of two classes."""
    rows = tuple(
        ClassMetrics(number, name, 3, 4 + number, 0.5, 0.6, score + 0.2, score + 0.1 * number)
        for number, name in enumerate(NAMES)
    )
    line = np.tile(np.linspace(1, 0, 1000), (2, 1)) * score
    curves = ClassCurves(np.arange(2), np.array([4, 5]), np.full((2, 10), score), *[line] * 4)
    return Metrics(
        5, 9, 0.5, 0.6, score + 0.2, score, rows, 0.1, score, float("nan"),
        protocol=protocol, details=EvaluationDetails(curves, errors={"both": (3, score / 10)}),
    )  # fmt: skip


def write_run(
    folder: Path, score: float, seed: int = 0, protocol: str = "yolov5", **settings: object
) -> Path:
    """A finished run of train.py with three epochs, the last of which has the score."""
    folder.mkdir(parents=True)
    opt = {"cfg": "a.yaml", "imgsz": 64, "seed": seed, "name": folder.name, "protocol": protocol}
    save_yaml(folder / "opt.yaml", {**opt, **settings})
    save_yaml(folder / "hyp.yaml", {"lr0": 0.01})
    rows = [
        f"{epoch}, {score * (epoch + 1) / 3 + 0.2}, {score * (epoch + 1) / 3}" for epoch in range(3)
    ]
    heading = "  epoch, metrics/mAP_0.5, metrics/mAP_0.5:0.95"
    (folder / "results.csv").write_text("\n".join([heading, *rows]) + "\n")
    write_curves(folder, metrics_of(score))
    write_metrics(folder, metrics_of(score, protocol), {})
    return folder


def write_ultralytics(folder: Path) -> Path:
    """What an Ultralytics training leaves, its columns as version 8.4 writes them."""
    folder.mkdir(parents=True)
    save_yaml(folder / "args.yaml", {"model": "yolov8n.yaml", "seed": 0, "imgsz": 64})
    heading = "epoch,time,train/box_loss,metrics/mAP50(B),metrics/mAP50-95(B)"
    (folder / "results.csv").write_text(f"{heading}\n1,2.5,6.1,0.3,0.1\n2,5.0,5.9,0.4,0.2\n")
    return folder


def write_yolov5(folder: Path) -> Path:
    """What a YOLOv5 training leaves: padded columns, epochs from 0 on, no metrics.json."""
    folder.mkdir(parents=True)
    save_yaml(folder / "opt.yaml", {"cfg": "yolov5n.yaml", "seed": 0, "imgsz": 64})
    save_yaml(folder / "hyp.yaml", {"lr0": 0.01})
    heading = "               epoch,     metrics/mAP_0.5,metrics/mAP_0.5:0.95"
    (folder / "results.csv").write_text(f"{heading}\n                   0,   0.5,   0.25\n")
    return folder
