"""Feature maps of every row, as files named like those of YOLOv5's --visualize.

For each row but the head, stageN_Module_features.png shows its first channels, and a file with the
suffix .npy has all of them.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.explain.heat import record
from models.graph.info import row_info
from models.yolo import DetectionModel
from utils.files import atomic_write, make_folder
from utils.text import file_name

MOST_CHANNELS, COLUMNS = 32, 8
LEAST_SIDE = 64  # pixels of a channel in the picture
GAP = 2  # pixels between channels


def write_features(model: DetectionModel, x: Tensor, folder: Path) -> list[Path]:
    """Write the maps of all rows but the head into a folder; return the pictures' paths.

    Args:
        model: In evaluation mode.
        x: [1, C, h, w] in 0..1.
        folder: Is made.
    """
    import cv2

    rows = list(model.model)[:-1]
    with torch.no_grad():
        maps = record(model, x, range(len(rows))).maps
    make_folder(folder)
    paths = []
    for row in rows:
        info = row_info(row)
        values = maps[info.index][0].float().cpu().numpy()
        name = file_name(f"stage{info.index}_{info.module.split('.')[-1]}_features")
        picture = cv2.applyColorMap(tile(values), cv2.COLORMAP_VIRIDIS)
        paths.append(folder / f"{name}.png")
        _write(paths[-1], cv2.imencode(".png", picture)[1].tobytes())
        array = io.BytesIO()
        np.save(array, values)
        _write(folder / f"{name}.npy", array.getvalue())
    return paths


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def tile(values: np.ndarray) -> np.ndarray:
    """The first channels of a map beside each other, each scaled to its own range.

    [C, H, W] -> [rows, columns] uint8.
    """
    shown = values[:MOST_CHANNELS]
    low = shown.min((1, 2), keepdims=True)
    span = np.maximum(shown.max((1, 2), keepdims=True) - low, 1e-12)
    levels = np.nan_to_num((shown - low) / span * 255).astype(np.uint8)
    # Small maps grow by a whole factor, so that each value stays one square.
    factor = max(1, round(LEAST_SIDE / max(levels.shape[1:])))
    levels = levels.repeat(factor, 1).repeat(factor, 2)
    count, height, width = levels.shape
    columns = min(COLUMNS, count)
    lines = -(-count // columns)
    sheet = np.zeros((lines * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.uint8)
    for number, channel in enumerate(levels):
        top = number // columns * (height + GAP)
        left = number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = channel
    return sheet
