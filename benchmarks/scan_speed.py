"""Time of the scan of a data set beside YOLOv5's: python -m benchmarks.scan_speed

Both programs index the same folder of hard links of a few real images, with YOLO labels, and keep
no cache of an earlier turn. Each turn is a process of its own, which is timed from its imports on
to the finished index, so that only the scan counts. The programs run in turn, so that a slower
minute of the machine affects both. All files are in the memory of the system after the first turn,
which is not counted.

The original needs its own environment (see benchmarks/train_throughput.py):
    python -m benchmarks.scan_speed --data coco128.yaml --reference-python reference/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.throughput_sides import isolated_home
from data.scanning.load import load_dataset
from data.synthetic.shapes import label_rows
from utils.files import ROOT, save_yaml

PER_FOLDER = 10_000
# Each prints the seconds of the wall clock, the seconds of cores, and the number of images.
CLOCK = """
import resource, sys, time
def used():
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
"""
OURS = (
    CLOCK
    + """
from data.scanning.load import load_dataset
start, before = time.perf_counter(), used()
index = load_dataset(sys.argv[1] + "/data.yaml", "train")
print(time.perf_counter() - start, used() - before, len(index))
"""
)
YOLOV5 = (
    CLOCK
    + """
from yolov5.utils.dataloaders import LoadImagesAndLabels
start, before = time.perf_counter(), used()
found = LoadImagesAndLabels(sys.argv[1] + "/images")
print(time.perf_counter() - start, used() - before, len(found))
"""
)


def link_images(data: str, count: int, root: Path) -> None:
    """Make `count` images with labels and a YAML below root, as hard links of those of a split.

    Args:
        data: Data set YAML.
        count: Number of links.
        root: Folder on the file system of a copy of the originals.
    """
    index = load_dataset(data, "train")
    originals = root / "originals"
    originals.mkdir()
    for number, sample in enumerate(index):
        suffix = Path(sample.path).suffix
        (originals / f"{number}{suffix}").write_bytes(Path(sample.path).read_bytes())
        rows = label_rows(sample.classes, sample.boxes, sample.size)
        (originals / f"{number}.txt").write_text(rows)
    suffixes = [Path(sample.path).suffix for sample in index]
    for number in range(count):
        source = number % len(index)
        part = f"{number // PER_FOLDER:03d}"
        for kind, suffix in (("images", suffixes[source]), ("labels", ".txt")):
            folder = root / kind / part
            if number % PER_FOLDER == 0:
                folder.mkdir(parents=True)
            os.link(originals / f"{source}{suffix}", folder / f"{number:06d}{suffix}")
    names = dict(enumerate(index.names.values()))
    save_yaml(root / "data.yaml", {"path": str(root), "train": "images", "names": names})


def time_turn(command: list[str], environment: dict[str, str], root: Path) -> tuple[float, float]:
    """Seconds of the wall clock and of cores of one scan, after every cache is removed."""
    for cache in (*root.rglob("*.cache"), *root.rglob("*.cache.npy")):
        cache.unlink()
    variables = {**os.environ, **environment, "YOLO_CACHE_DIR": str(root / "cache")}
    run = subprocess.run(
        [*command, str(root)], cwd=ROOT, env=variables, capture_output=True, text=True, check=True
    )
    wall, cores, _ = map(float, run.stdout.splitlines()[-1].split())
    return wall, cores


def compare_scans(flags: argparse.Namespace, root: Path) -> dict[str, object]:
    """Scan in turn, and return the medians of each program and their ratios."""
    sides: dict[str, tuple[list[str], dict[str, str]]] = {
        "ours": ([sys.executable, "-c", OURS], {})
    }
    if flags.reference_python:
        home = isolated_home(root / "home")
        sides["yolov5"] = ([flags.reference_python, "-c", YOLOV5], {**home, "PYTHONPATH": ""})
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    time_turn(*sides["ours"], root)  # reads every file into the memory of the system
    for _ in range(flags.turns):
        for name, (command, environment) in sides.items():
            turns[name].append(time_turn(command, environment, root))
            print(f"{name:8} {turns[name][-1][0]:7.2f} s, {turns[name][-1][1]:7.2f} s of cores")
    medians = {
        name: [round(statistics.median(column), 2) for column in zip(*found, strict=True)]
        for name, found in turns.items()
    }
    result: dict[str, object] = {"images": flags.count, "median seconds, of cores": medians}
    if "yolov5" in medians:
        pairs = zip(medians["yolov5"], medians["ours"], strict=True)
        result["times as fast, of cores"] = [round(theirs / ours, 2) for theirs, ours in pairs]
    return result


def main() -> int:
    """Make the folder, compare, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--data", default="data/coco128.yaml", help="data set of the originals")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--reference-python", help="Python that has yolov5")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        link_images(flags.data, flags.count, Path(folder))
        print(json.dumps(compare_scans(flags, Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
