"""A data set and a model small enough to train within a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml

from models.graph.load import load_graph
from models.yolo import DetectionModel

GRAPH = {
    "nc": 2,
    "depth_multiple": 0.33,
    "width_multiple": 0.25,
    "anchors": [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]],
    "backbone": [
        [-1, 1, "Conv", [32, 6, 2, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C3", [64]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "SimAM", []],
        [-1, 1, "Conv", [128, 3, 2]],
    ],
    "head": [[[4, 5], 1, "Detect", ["nc", "anchors"]]],
}
FREE_GRAPH = {  # without anchors
    "nc": 2,
    "scales": {"n": [0.33, 0.25, 1024], "s": [0.33, 0.5, 1024]},
    "reg_max": 8,
    "backbone": [
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 3, "C2f", [64, True]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "SimAM", []],
        [-1, 1, "Conv", [128, 3, 2]],
    ],
    "head": [[[4, 5], 1, "Detect", ["nc"]]],
}


def write_graph(folder: Path) -> Path:
    """A detector of a few thousand parameters with two levels (strides 8 and 16)."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(GRAPH))
    return path


def write_free_graph(folder: Path) -> Path:
    """The same of YOLOv8's kind: without anchors, in two sizes, the smaller one by its name."""
    path = folder / "yolov8n-tiny.yaml"
    path.write_text(yaml.safe_dump(FREE_GRAPH))
    return path


def run_flags(cfg: Path | str, data: Path | str, *more: str) -> list[str]:
    """The flags of a run that takes seconds: small images and batches, this process, the CPU."""
    flags = f"--cfg {cfg} --data {data} --imgsz 64 --batch-size 4 --workers 0 --device cpu"
    return [*flags.split(" "), *more]


def lively(path: Path, names: dict[int, str]) -> DetectionModel:
    """A network of one of these graphs, its scores raised so that it finds something."""
    return raise_scores(DetectionModel(load_graph(path), class_count=len(names), names=names))


def raise_scores(model: DetectionModel) -> DetectionModel:
    """Raise the scores of a network so that it finds something; returns it."""
    with torch.no_grad():
        for key, value in model.head.named_parameters():
            if key.endswith("bias"):
                value += 4
            if key.endswith("bias") and model.family.has_objectness:
                value.view(3, -1)[:, 4] += 4
    return model


def write_data(folder: Path, train: int = 10, val: int = 4, side: int = 64) -> Path:
    """Bright squares (class 0) and dark ones (class 1) on gray noise, YOLO labels; returns the data
    YAML.
    """
    import cv2

    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = draw.integers(90, 160, (side, side, 3), dtype=np.uint8)
            rows = []
            for _ in range(2):
                kind, size = int(draw.integers(2)), int(draw.integers(side // 5, side // 2))
                x, y = (int(value) for value in draw.integers(0, side - size, 2))
                image[y : y + size, x : x + size] = 240 if kind == 0 else 10
                rows.append(
                    f"{kind} {(x + size / 2) / side} {(y + size / 2) / side} {size / side}"
                    f" {size / side}"
                )
            cv2.imwrite(str(folder / "images" / split / f"{number:03d}.png"), image)
            (folder / "labels" / split / f"{number:03d}.txt").write_text("\n".join(rows) + "\n")
    path = folder / "data.yaml"
    content = {
        "path": str(folder),
        "train": "images/train",
        "val": "images/val",
        "names": ["bright", "dark"],
    }
    path.write_text(yaml.safe_dump(content))
    return path
