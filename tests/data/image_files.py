"""The ten images with boxes that YOLOv5's golden items were made from, as files and as an index."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.index import DatasetIndex
from data.sample import Sample

SIZES = [
    (80, 120),
    (120, 80),
    (64, 64),
    (100, 150),
    (90, 60),
    (128, 96),
    (50, 200),
    (77, 77),
    (110, 140),
    (60, 61),
]
UNLABELLED = (0, 4, 8)


def write_images(folder: Path) -> DatasetIndex:
    """Write 00.png … 09.png into folder; boxes are rounded to six decimals, as in label files."""
    samples = []
    for number, (height, width) in enumerate(SIZES):
        rng = np.random.Generator(np.random.PCG64(800 + number))
        blocks = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        path = folder / f"{number:02d}.png"
        cv2.imwrite(str(path), cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST))
        rows = [draw_box(rng) for _ in range(number % 4)] if number not in UNLABELLED else []
        table = np.array(rows, dtype=np.float64).reshape(-1, 5)
        centre, half = table[:, 1:3] * (width, height), table[:, 3:] * (width, height) / 2
        boxes = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
        samples.append(Sample(str(path), (height, width), boxes, table[:, 0].astype(np.int64)))
    return DatasetIndex.pack(samples, {0: "a", 1: "b", 2: "c"})


def draw_box(rng: np.random.Generator) -> list[float]:
    """One label row: class, x, y, width, height."""
    width, height = rng.uniform(0.1, 0.5, 2)
    x = rng.uniform(width / 2, 1 - width / 2)
    y = rng.uniform(height / 2, 1 - height / 2)
    return [float(rng.integers(0, 3)), *(round(float(value), 6) for value in (x, y, width, height))]
