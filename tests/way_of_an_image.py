"""Lists the files that run between a label file, the loss and mAP, for docs/architecture.md.

    python -m tests.way_of_an_image

Images with YOLO labels become batches with every augmentation. A network with anchors and one
without compute their losses and are evaluated. The programs around that, the building of the
networks, and the optimizer are not counted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import torch
import yaml

from data.dataset import DatasetSettings
from data.loader import build_loader
from data.scanning.load import load_dataset
from engine.evaluation.evaluate import EvalSettings, evaluate
from models.graph.load import load_graph
from models.losses import build_loss
from models.yolo import DetectionModel
from utils.files import ROOT
from utils.hyperparameters import Hyperparameters

GRAPHS = ("models/yolov5n.yaml", "models/yolov8n.yaml")
HYP = Hyperparameters(box=1.0, mosaic=0.7, mosaic9=0.5, mixup=0.5, copy_paste=1.0)
SIDE, COUNT = 64, 8  # pixels, images


@contextlib.contextmanager
def recorded(files: set[str]) -> Iterator[None]:
    """Add every source file of the project whose functions are called in the block."""

    def note(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_globals.get("__file__") or ""
        if event == "call" and file.startswith(f"{ROOT}{os.sep}"):
            name = Path(file).relative_to(ROOT).as_posix()
            if not name.startswith("tests/"):
                files.add(name)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def write_dataset(folder: Path) -> Path:
    """Images of noise, each with a box and a polygon; returns the YAML."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for number in range(COUNT):
        noise = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"images/{number}.png"), noise)
        text = "0 .5 .5 .4 .4\n1 .1 .1 .3 .1 .3 .4 .1 .4\n"
        (folder / f"labels/{number}.txt").write_text(text)
    content = {"path": str(folder), "train": "images", "val": "images", "names": ["a", "b"]}
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def files_on_the_way(folder: Path) -> set[str]:
    """The files that run, for both families."""
    files: set[str] = set()
    dataset = write_dataset(folder)
    for graph in GRAPHS:
        model = DetectionModel(load_graph(graph), class_count=2)
        loss = build_loss(model.spec, HYP, SIDE)
        with recorded(files):
            index = load_dataset(str(dataset), "train")
            settings = DatasetSettings(imgsz=SIDE, batch_size=4, hyp=HYP, augment=True)
            for batch in build_loader(index, settings, shuffle=True):
                loss(model.train()(batch.images / 255), batch.targets, (SIDE, SIDE))
            ordered = DatasetSettings(imgsz=SIDE, batch_size=4, rect=True)
            settings = EvalSettings(conf=1e-4, quiet=True)
            evaluate(model, build_loader(index, ordered), settings)
    return files


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CACHE_DIR"] = f"{folder}/cache"
        names = sorted(files_on_the_way(Path(folder)))
    lines = [len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in names]
    for name, count in zip(names, lines, strict=True):
        print(f"{count:6} {name}")
    print(f"{sum(lines):6} lines in {len(names)} files")


if __name__ == "__main__":
    main()
