"""The evaluation without the network beside YOLOv5's: python bench/evaluation_speed.py

Both programs get the same detections and labels of made-up images, in pixels of the network's
input, and do with them what their validation does: the way back to the original image, matching,
confusion matrix, and the scores of all classes. The original's public functions are called as its
validation calls them. Both run in turn, A B A B, in processes of their own.

The original needs its own environment:
    python -m venv reference
    reference/bin/pip install "setuptools<80" "numpy<2.3" torch torchvision yolov5==7.0.14
    python bench/evaluation_speed.py --reference-python reference/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIZE, ORIGINAL = (640, 640), (480, 640)  # (height, width) of the network's input and of the images
GAIN, PAD = 1.0, (0.0, 80.0)  # from the one to the other
CLASSES = 80
Images = list[tuple[np.ndarray, np.ndarray]]
Result = tuple[float, float, float]


def make_images(count: int, most: int) -> Images:
    """Per image the detections [n, 6], by descending score, and about seven labels [m, 5]."""
    rng, images = np.random.default_rng(0), []
    for _ in range(count):
        known, found = int(rng.poisson(7)), int(rng.integers(most // 3, most + 1))
        corners = random_boxes(rng, known)
        classes = rng.integers(0, CLASSES, (known, 1))
        # A part of the detections lies on objects, often with their class.
        on = rng.integers(0, max(known, 1), min(3 * known, found))
        moved = corners[on] + rng.normal(0, 6, (len(on), 4))
        wrong = rng.random((len(on), 1)) < 0.3
        kinds = np.where(wrong, rng.integers(0, CLASSES, (len(on), 1)), classes[on])
        stray = random_boxes(rng, found - len(on))
        boxes = np.concatenate((moved, stray))
        kinds = np.concatenate((kinds, rng.integers(0, CLASSES, (len(stray), 1))))
        scores = np.concatenate((rng.random((len(on), 1)), rng.random((len(stray), 1)) ** 6))
        rows = np.column_stack((boxes, scores, kinds)).astype(np.float32)
        labels = np.column_stack((classes, corners)).astype(np.float32)
        images.append((rows[np.argsort(-rows[:, 4], kind="stable")], labels))
    return images


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Corners [count, 4] in the part of the network's input that is not border."""
    sides = rng.uniform(10, 200, (count, 2))
    low = rng.uniform((0, PAD[1]), (440, 360), (count, 2))
    return np.concatenate((low, low + sides), 1)


def run_ours(images: Images) -> Result:
    """Seconds until the scores are known, those of the processor, and mAP50-95."""
    import torch

    from engine.detector_model import DetectorModel
    from engine.evaluation.evaluate import EvalSettings, Evaluator
    from engine.evaluation.metrics import Evaluation
    from utils.structures import Batch

    names = {number: str(number) for number in range(CLASSES)}
    batches = []
    for start in range(0, len(images), 32):
        part = images[start : start + 32]
        rows = [np.insert(labels, 0, number, axis=1) for number, (_, labels) in enumerate(part)]
        count = len(part)
        indices = tuple(range(start, start + len(part)))
        targets = torch.from_numpy(np.concatenate(rows))
        batch = Batch(
            torch.empty(0), targets, indices, tuple(map(str, indices)),
            (ORIGINAL,) * count, ((GAIN, GAIN),) * count, (PAD,) * count,
        )  # fmt: skip
        batches.append((batch, [torch.from_numpy(found) for found, _ in part]))
    begin, used = time.perf_counter(), time.process_time()
    model = cast(DetectorModel, torch.nn.Identity())  # it is not called
    evaluator = Evaluator(model, EvalSettings(), Evaluation(CLASSES))
    for batch, found in batches:
        evaluator.compare(batch, found)
    metrics = evaluator.metrics(names)
    return time.perf_counter() - begin, time.process_time() - used, metrics.map


def run_reference(images: Images) -> Result:
    """The same with YOLOv5's functions."""
    if not hasattr(np, "trapz"):  # NumPy has renamed it
        setattr(np, "trapz", np.trapezoid)  # noqa: B010
    import torch
    from yolov5.utils.general import scale_boxes
    from yolov5.utils.metrics import ConfusionMatrix, ap_per_class
    from yolov5.val import process_batch

    names = {number: str(number) for number in range(CLASSES)}
    given = [(torch.from_numpy(found), torch.from_numpy(labels)) for found, labels in images]
    place, thresholds = ((GAIN, GAIN), PAD), torch.linspace(0.5, 0.95, 10)
    begin, used = time.perf_counter(), time.process_time()
    matrix, collected = ConfusionMatrix(nc=CLASSES), []
    for found, labels in given:
        correct = torch.zeros(len(found), len(thresholds), dtype=torch.bool)
        rows = found.clone()
        scale_boxes(SIZE, rows[:, :4], ORIGINAL, place)
        if len(labels):
            corners = labels[:, 1:].clone()
            scale_boxes(SIZE, corners, ORIGINAL, place)
            known = torch.cat((labels[:, :1], corners), 1)
            correct = process_batch(rows, known, thresholds)
            matrix.process_batch(rows, known)
        collected.append((correct, rows[:, 4], rows[:, 5], labels[:, 0]))
    columns = [torch.cat(column).numpy() for column in zip(*collected, strict=True)]
    ap = ap_per_class(*columns, plot=False, names=names)[5]
    np.bincount(columns[3].astype(int), minlength=CLASSES)
    return time.perf_counter() - begin, time.process_time() - used, float(ap.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--reference-python", help="Python with the original; ours alone without")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--max-det", type=int, default=300, help="most detections of an image")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=("ours", "yolov5"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.side:
        images = make_images(flags.images, flags.max_det)
        run = run_ours if flags.side == "ours" else run_reference
        print(json.dumps(run(images)))
        return
    compare(flags)


def compare(flags: argparse.Namespace) -> None:
    """Run both sides in turn, and print their medians and the ratio."""
    starts = {"ours": [sys.executable, "-m", "bench.evaluation_speed"]}
    if flags.reference_python:
        starts["yolov5"] = [
            str(Path(flags.reference_python).absolute()),
            str(ROOT / "bench/evaluation_speed.py"),
        ]
    results: dict[str, list[list[float]]] = {name: [] for name in starts}
    sizes = [f"--images={flags.images}", f"--max-det={flags.max_det}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(flags.threads)}
    for _ in range(flags.rounds):
        for name, rows in results.items():
            with tempfile.TemporaryDirectory() as folder:  # the original writes settings
                done = subprocess.run(
                    [*starts[name], f"--side={name}", *sizes],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    cwd=ROOT if name == "ours" else folder,
                    env={**environment, "YOLO_CONFIG_DIR": folder},
                )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {name: np.median(rows, axis=0).tolist() for name, rows in results.items()}
    for name, (seconds, used, score) in medians.items():
        print(
            f"{name:>7}: {seconds:.2f} s, {used:.2f} s of the processor, for {flags.images} images;"
            f" mAP {score:.6f}"
        )
    if len(medians) == 2:
        wall, used, _ = np.divide(medians["yolov5"], medians["ours"])
        print(f"  ratio: {wall:.2f}, of the processor {used:.2f}, {flags.threads} threads")


if __name__ == "__main__":
    main()
