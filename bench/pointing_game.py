"""The pointing game: does the highest value of a heat map lie on the object?

    python -m bench.pointing_game --weights yolov5n.pt --source images/ --imgsz 320

Zhang, Bargal, Lin, Brandt, Shen and Sclaroff, "Top-Down Neural Attention by Excitation Backprop",
IJCV 2018, https://arxiv.org/abs/1608.00507, section 5.1. The labels beside the images (labels/ for
images/) say where the objects are. An object counts if a label of its class overlaps it by half.
Energy is the share of the map's sum within the boxes (Wang et al., "Score-CAM", CVPRW 2020). The
share of the image that the boxes cover is what a constant map would have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.explained_images import read_given
from bench.markdown_table import markdown_rows
from engine.explain.explainer import Explained, Explainer
from engine.explain.settings import METHODS, PER, ExplainConfig
from utils.boxes import box_iou, denormalise_boxes
from utils.structures import Frame

LAYERS = ("head", "backbone")
HEADERS = ("method", "explained", "rows", "targets", "hits", "energy inside", "area of the boxes")


def labels_of(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Classes [n] and boxes [n, 4] in pixels of the label file beside an image."""
    parts = ["labels" if part == "images" else part for part in Path(frame.path).parts]
    path = Path(*parts).with_suffix(".txt")
    rows = np.loadtxt(path, ndmin=2) if path.is_file() else np.zeros((0, 5))
    size = (frame.image.shape[0], frame.image.shape[1])
    return rows[:, 0].astype(int), denormalise_boxes(rows[:, 1:5], size)


def boxes_for(target: Explained, classes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The labelled boxes [m, 4] that a target stands for: all of its class, or its own one."""
    same = boxes[classes == target.class_id]
    if target.box is None or not len(same):
        return same
    overlap = box_iou(torch.from_numpy(target.box[None]).double(), torch.from_numpy(same))[0]
    return same[overlap.numpy() >= 0.5]


def score_map(heat: np.ndarray, boxes: np.ndarray) -> tuple[float, float, float]:
    """Hit (1 or 0), energy inside, and area of the boxes as a share of the image."""
    inside = np.zeros(heat.shape, dtype=bool)
    for x1, y1, x2, y2 in np.rint(boxes).astype(int):
        inside[max(y1, 0) : y2, max(x1, 0) : x2] = True
    top = np.unravel_index(int(heat.argmax()), heat.shape)
    total = max(float(heat.sum()), 1e-12)
    return float(inside[top]), float(heat[inside].sum()) / total, float(inside.mean())


def play(explainer: Explainer, frames: list[Frame]) -> Iterator[tuple[float, float, float]]:
    """The scores of all labelled targets of some images."""
    for frame in frames:
        classes, boxes = labels_of(frame)
        for target in explainer(frame).targets:
            own = boxes_for(target, classes, boxes)
            heat = target.panels["model"].heat
            if len(own) and heat is not None:
                yield score_map(heat, own)


def main() -> None:
    """Play with every method, target and choice of rows, and print a Markdown table."""
    model, frames, side = read_given("Play the pointing game.")
    config, rows = ExplainConfig(imgsz=(side,), max_det=20), []
    for layers in LAYERS:
        for per in PER:
            for method, name in METHODS.items():
                flags = replace(config, layers=(layers,), per=per, method=method)
                scores = list(play(Explainer({"model": model}, flags), frames))
                hits, energy, area = np.mean(scores, 0) if scores else (0.0, 0.0, 0.0)
                found = [f"{hits:.0%}", f"{energy:.0%}", f"{area:.0%}"]
                rows.append([name, per, layers, str(len(scores)), *found])
    print(markdown_rows(HEADERS, rows))


if __name__ == "__main__":
    main()
