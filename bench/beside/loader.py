"""Images a second and core of both loaders.

Both make training batches of mosaics with the same hyperparameters and images, in one process
without workers and with one thread. They stay alive and take turns, A B A B, and the processor time
of each turn counts, which other programs disturb less than the time on the clock.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from bench.beside.bench import Bench
from bench.beside.comparison import RATE, Comparison
from bench.beside.programs import OURS, YOLOV5, Program
from utils.files import ROOT

BATCH_SIZE = 16
HYP = ROOT / "data/hyps/hyp.scratch-low.yaml"
# --cache, --mosaic-pool and where colours are changed; the original has only the first.
LOADER_CONDITIONS = {
    "images from files": ("no", "all", "here"),
    "images from files, this project with --mosaic-pool batch": ("no", "batch", "here"),
    "images in memory": ("ram", "all", "here"),
    "images in memory, this project for a device that changes colours": ("ram", "all", "device"),
}
# A program that makes batches, and after each line of its input as many as it says.
SERVE = """
import sys, time
def serve(loader):
    print("ready", flush=True)
    batches = iter(loader)
    for line in sys.stdin:
        start, count = time.process_time(), 0
        while count < int(line):
            batch = next(batches, None)
            if batch is None:
                batches = iter(loader)
            else:
                count += len(batch[0] if isinstance(batch, (tuple, list)) else batch.images)
        print((time.process_time() - start) / count, flush=True)
data, imgsz, cache, pool, colours, hyp, batch_size = sys.argv[1:]
imgsz, batch_size = int(imgsz), int(batch_size)
"""
LOADER_OURS = """
from data.dataset import DatasetSettings
from data.loader import build_loader
from data.scanning.load import load_dataset
from utils.config import Hyperparameters
settings = DatasetSettings(imgsz, Hyperparameters.load(hyp), augment=True, batch_size=batch_size,
                           cache=cache, mosaic_pool=pool, colours=colours == "here")
loader = build_loader(load_dataset(data, "train"), settings, shuffle=True)
if cache == "ram":
    [loader.dataset.pixels[number] for number in range(len(loader.dataset))]
serve(loader)
"""
LOADER_YOLOV5 = """
import cv2, yaml
from pathlib import Path
from yolov5.utils.dataloaders import create_dataloader
cv2.setNumThreads(0)
table = yaml.safe_load(open(data))
folder = str(Path(table["path"]) / table["train"])
serve(create_dataloader(folder, imgsz, batch_size, 32, hyp=yaml.safe_load(open(hyp)), augment=True,
                        cache=cache if cache == "ram" else None, workers=0, shuffle=True)[0])
"""


class Turns:
    """A program that waits for its turns, and the CPU seconds per image of each."""

    def __init__(self, python: str, code: str, flags: list[str], home: dict[str, str]) -> None:
        environment = os.environ | home | {"OMP_NUM_THREADS": "1"}
        self.child = subprocess.Popen(
            [python, "-c", SERVE + code, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT if code == LOADER_OURS else "/",
            env=environment,
        )
        self.seconds: list[float] = []
        self._answer("ready")

    def _answer(self, wanted: str = "") -> str:
        """The next line of the program that is a number, or the wanted one."""
        assert self.child.stdout is not None
        for line in self.child.stdout:
            text = line.strip()
            if text == wanted or (not wanted and text.replace(".", "").replace("e-", "").isdigit()):
                return text
        raise SystemExit(f"a loader ended with status {self.child.wait()}")

    def take(self, count: int) -> None:
        """Read at least this many images."""
        assert self.child.stdin is not None
        print(count, file=self.child.stdin, flush=True)
        self.seconds.append(float(self._answer()))


def loader_part(bench: Bench) -> Iterator[Comparison]:
    """Loaders at the sizes of all cases of YOLOv5, with images from files and from memory."""
    sizes = sorted({case.imgsz for case in bench.cases if case.original == YOLOV5})
    if YOLOV5 not in bench.programs:
        return
    for imgsz in sizes:
        for condition, options in LOADER_CONDITIONS.items():
            bench.say(f"loader, {imgsz} px, {condition}")
            pair = [bench.programs[name] for name in (OURS, YOLOV5)]
            sides = [start_loader(bench, program, imgsz, options) for program in pair]
            ours, theirs = take_turns(sides, bench.rounds, bench.images)
            title, quantity = f"loader, mosaics of {imgsz} px", "throughput of a core"
            yield Comparison(title, condition, quantity, RATE, YOLOV5, bench.kind, ours, theirs)


def start_loader(
    bench: Bench, program: Program, imgsz: int, options: tuple[str, str, str]
) -> Turns:
    """A program that waits for its turns.

    Args:
        bench: The comparison.
        program: Ours, or YOLOv5.
        imgsz: Side of the images, pixels.
        options: One of LOADER_CONDITIONS.
    """
    data = str(bench.stage(program, bench.images, 1) / "data.yaml")
    flags = [data, str(imgsz), *options, str(HYP), str(BATCH_SIZE)]
    code = LOADER_OURS if program.name == OURS else LOADER_YOLOV5
    return Turns(program.python, code, flags, program.command([]).environment)


def take_turns(sides: list[Turns], rounds: int, images: int) -> list[list[float]]:
    """The rates of each side in all turns but the first, which warms up; ends the programs.

    Args:
        sides: The programs.
        rounds: Number of turns that count.
        images: Number of images of a turn.
    """
    try:
        for _ in range(rounds + 1):
            for side in sides:
                side.take(images)
    finally:
        for side in sides:
            side.child.kill()
            side.child.wait()
    return [[1 / seconds for seconds in side.seconds[1:]] for side in sides]
