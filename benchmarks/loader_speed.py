"""Images a second and core of both loaders: python -m benchmarks.loader_speed --data FILE

Both make training batches of mosaics with the same hyperparameters and images, in one process
without workers and with one thread. They take turns in one run, A B A B, and the CPU time of each
turn counts, which other programs disturb less than the time on the clock. The environment of the
original is described in benchmarks/train_throughput.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.throughput_sides import isolated_home
from utils.files import ROOT

BATCH_SIZE = 16
HYP = ROOT / "data/hyps/hyp.scratch-low.yaml"
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
data, imgsz, cache, pool, hyp, batch_size = sys.argv[1:]
imgsz, batch_size = int(imgsz), int(batch_size)
"""
OURS = """
from data.dataset import DatasetSettings
from data.loader import build_loader
from data.scanning.load import load_dataset
from utils.config import Hyperparameters
settings = DatasetSettings(imgsz, Hyperparameters.load(hyp), augment=True, batch_size=batch_size,
                           cache=cache, mosaic_pool=pool)
loader = build_loader(load_dataset(data, "train"), settings, shuffle=True)
if cache == "ram":
    [loader.dataset.pixels[number] for number in range(len(loader.dataset))]
serve(loader)
"""
REFERENCE = """
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
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | home
        self.child = subprocess.Popen(
            [python, "-c", SERVE + code, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT if code == OURS else "/",
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

    @property
    def rate(self) -> float:
        """Images a second and core, the median of all turns but the first, which warms up."""
        return 1 / statistics.median(self.seconds[1:])


def loader_flags(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--data", required=True, help="data set YAML that both programs read")
    parser.add_argument("--reference-python", help="Python that has yolov5==7.0.14")
    parser.add_argument("--imgsz", type=int, nargs="+", default=[640, 320])
    parser.add_argument("--cache", nargs="+", default=["no", "ram"], choices=("no", "ram"))
    parser.add_argument("--mosaic-pool", default="all", choices=("all", "batch"))
    parser.add_argument("--images", type=int, default=128, help="images of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program, and one more")
    return parser.parse_args(argv)


def compare_loaders(flags: argparse.Namespace, imgsz: int, cache: str, home: dict[str, str]) -> str:
    """Measure one size and cache.

    Args:
        flags: Flags of the benchmark.
        imgsz: Side of the images, pixels.
        cache: "no" or "ram".
        home: Variables that keep the original's files in a folder.

    Returns:
        A row for the table.
    """
    data, size = str(Path(flags.data).absolute()), str(BATCH_SIZE)
    words = [data, str(imgsz), cache, flags.mosaic_pool, str(HYP), size]
    sides = [Turns(sys.executable, OURS, words, {})]
    if flags.reference_python:
        python = str(Path(flags.reference_python).absolute())
        sides.append(Turns(python, REFERENCE, words, home))
    for _ in range(flags.rounds + 1):
        for side in sides:
            side.take(flags.images)
    for side in sides:
        side.child.kill()
        side.child.wait()
    rates = "  ".join(f"{side.rate:8.1f}" for side in sides)
    ratio = f"  {sides[0].rate / sides[1].rate:5.2f}" if len(sides) == 2 else ""
    return f"{imgsz:5} {cache:>5}  {rates}{ratio}"


def main() -> None:
    flags = loader_flags()
    print("imgsz cache   ours  original  ratio   (images a second and core)")
    with tempfile.TemporaryDirectory(prefix="loaders-") as folder:
        home = isolated_home(Path(folder))
        for imgsz in flags.imgsz:
            for cache in flags.cache:
                print(compare_loaders(flags, imgsz, cache, home), flush=True)


if __name__ == "__main__":
    main()
