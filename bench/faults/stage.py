"""Tiny trainings that the campaigns interrupt: data, graphs, settings, and how they are started."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import train
from bench.faults.common import Child, Ended
from utils.errors import run_main

SIDE = 64
BACKBONE = [
    [-1, 1, "Conv", [32, 3, 2]],
    [-1, 1, "Conv", [64, 3, 2]],
    [-1, 1, "C3", [64]],
    [-1, 1, "Conv", [64, 3, 2]],
    [-1, 1, "Conv", [128, 3, 2]],
]
ANCHORS = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]]
SIZE = {"nc": 2, "depth_multiple": 0.33, "width_multiple": 0.25, "backbone": BACKBONE}
GRAPHS = {
    "v5": {**SIZE, "anchors": ANCHORS, "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]]},
    "v8": {**SIZE, "reg_max": 8, "head": [[[3, 4], 1, "Detect", ["nc"]]]},
}
SETTINGS = {
    "v5": "--cfg ../v5.yaml --workers 0 --cache no",
    "v8, a worker": "--cfg ../v8.yaml --workers 1 --cache no",
    "cache": "--cfg ../v5.yaml --workers 0 --cache ram",
    "multi-scale": "--cfg ../v5.yaml --workers 0 --cache no --multi-scale",
    "two processes": "--cfg ../v5.yaml --workers 0 --cache no",
}
ALIKE = "--data ../data.yaml --img 64 --batch 4 --epochs 3 --device cpu --project . --name run"
# Imported before the first fork, since each run would import them again.
IMPORTED_LATE = (
    "cv2",
    "pandas",
    "matplotlib.pyplot",
    "faster_coco_eval",
    "torchvision.ops",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "engine.drawing.results",
    "engine.drawing.labels",
    "engine.drawing.sheets",
)


def warm_up() -> None:
    """Import what a run imports, and compute with one thread, without starting any."""
    os.environ.update(OMP_NUM_THREADS="1", MPLBACKEND="Agg", COLUMNS="100")
    os.environ.pop("PYTHONUNBUFFERED", None)  # it changes when a broken pipe is noticed
    torch.set_num_threads(1)
    for name in IMPORTED_LATE:
        importlib.import_module(name)


def write_stage(folder: Path, images: int = 16) -> None:
    """Write images of bright and dark squares with labels, data.yaml and the graphs."""
    import cv2

    draw = np.random.default_rng(0)
    for split, count in (("train", images), ("val", 4)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            image = draw.integers(90, 160, (SIDE, SIDE, 3), dtype=np.uint8)
            rows = []
            for kind in draw.integers(0, 2, 2):
                side, x, y = (int(value) for value in draw.integers((12, 0, 0), (32, 32, 32)))
                image[y : y + side, x : x + side] = (10, 240)[kind]
                box = (x + side / 2, y + side / 2, side, side)
                rows.append(f"{kind} " + " ".join(str(value / SIDE) for value in box))
            cv2.imwrite(str(folder / "images" / split / f"{number}.png"), image)
            (folder / "labels" / split / f"{number}.txt").write_text("\n".join(rows))
    content = {"path": str(folder), "train": "images/train", "val": "images/val"}
    (folder / "data.yaml").write_text(yaml.safe_dump({**content, "names": ["dark", "bright"]}))
    for name, graph in GRAPHS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(graph))


@dataclass(frozen=True)
class Place:
    """One training: the folder in which it starts, in which run/ and cache/ are written.

    Attributes:
        folder: A folder beside data.yaml and the graphs.
        logs: A folder for the outputs of its processes.
        setting: One of SETTINGS.
        more: Further flags.
    """

    folder: Path
    logs: Path
    setting: str
    more: tuple[str, ...] = ("--noplots",)

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def last(self) -> Path:
        return self.run / "weights" / "last.pt"

    def words(self) -> list[str]:
        """The arguments that start the training anew."""
        return [*f"{SETTINGS[self.setting]} {ALIKE}".split(), "--exist-ok", *self.more]

    def next_words(self) -> list[str]:
        """The arguments that continue it, or start it anew if nothing has been saved."""
        return ["--resume", "run/weights/last.pt"] if self.last.exists() else self.words()

    def start(
        self,
        words: list[str],
        prepare: Callable[[], object] | None = None,
        out: str | Path | None = None,
    ) -> Child:
        """Start train.py with these arguments in a process of its own.

        Args:
            words: The arguments.
            prepare: Called first in the process; of two, in the main one.
            out: Where standard output goes, if not to the logs.
        """
        logs = self.logs / str(len(list(self.logs.iterdir())))
        logs.mkdir()

        def program() -> object:
            os.chdir(self.folder)
            os.environ["YOLO_CACHE_DIR"] = str(self.folder / "cache")
            if self.setting == "two processes":
                return _train_in_two(words, prepare, logs)
            if prepare:
                prepare()
            return train.main(words)

        return Child(program, logs, out)

    def finish(self, seconds: float = 60) -> Ended:
        """Continue the training to its end."""
        return self.start(self.next_words()).wait(seconds)


def make_place(stage: Path, setting: str, more: tuple[str, ...] = ("--noplots",)) -> Place:
    """A new place in a folder that write_stage() has filled; its logs are in stage/logs."""
    (stage / "logs").mkdir(exist_ok=True)
    logs = Path(tempfile.mkdtemp(dir=stage / "logs"))
    (stage / logs.name).mkdir()
    return Place(stage / logs.name, logs, setting, more)


def _train_in_two(words: list[str], prepare: Callable[[], object] | None, logs: Path) -> int:
    """What `torchrun --nproc_per_node 2 train.py` does, its processes forked and not started."""

    def rank() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            # Those of the launcher, which a process that is started would not inherit.
            default = number == signal.SIGINT and signal.default_int_handler
            signal.signal(number, default or signal.SIG_DFL)
        (logs / f"rank{os.environ['RANK']}").write_text(str(os.getpid()))
        if prepare and os.environ["RANK"] == "0":
            prepare()
        try:
            sys.exit(run_main(train.main, words))
        finally:
            kind, error, trace = sys.exc_info()
            if kind and error and not isinstance(error, SystemExit):
                sys.excepthook(kind, error, trace)  # the launcher would keep it in a file

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id=str(os.getpid()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    try:
        elastic_launch(config, rank)()
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return 128 - code if code < 0 else code
    return 0
