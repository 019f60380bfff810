"""The scan of a data set: both programs index the same folder and keep no cache of an earlier turn.

The folder has hard links to copies of a few real images, with YOLO labels. Each turn is a process
of its own, which measures itself from its imports on to the finished index, so that only the scan
counts. All files are in the memory of the system before the first turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.beside.bench import Bench, Values
from bench.beside.comparison import Comparison
from bench.beside.programs import OURS, YOLOV5, Program
from data.scanning.load import load_dataset
from data.synthetic.shapes import label_rows
from utils.errors import UserError
from utils.files import ROOT, save_yaml

PER_FOLDER = 10_000
# Each prints the seconds of the wall clock, the seconds of cores, and the number of images.
CLOCK = """
import resource, sys, time
def used():
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
"""
SCAN_OURS = (
    CLOCK
    + """
from data.scanning.load import load_dataset
start, before = time.perf_counter(), used()
index = load_dataset(sys.argv[1] + "/data.yaml", "train")
print(time.perf_counter() - start, used() - before, len(index))
"""
)
SCAN_YOLOV5 = (
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


def scan_part(bench: Bench) -> Iterator[Comparison]:
    """The scan of bench.scanned images."""
    if YOLOV5 not in bench.programs:
        return
    root = bench.programs[OURS].home / "scan"
    root.mkdir(parents=True)
    link_images(bench.data, bench.scanned, root)
    scan_once(bench, root, bench.programs[OURS])  # reads every file into the memory of the system
    title = f"scan of {bench.scanned:,} images"
    yield from bench.compare(title, "no cache", YOLOV5, partial(scan_once, bench, root))


def scan_once(bench: Bench, root: Path, program: Program) -> Values:
    """Seconds of the wall clock and of cores of one scan, after every cache is removed."""
    for cache in (*root.rglob("*.cache"), *root.rglob("*.cache.npy")):
        cache.unlink()
    variables, code = {"YOLO_CACHE_DIR": str(root / "cache")}, SCAN_YOLOV5
    if program.name == OURS:
        variables, code = variables | {"PYTHONPATH": str(ROOT)}, SCAN_OURS
    told = replace(program, environment=program.environment | variables)
    line = bench.last_line(told, "scan", [program.python, "-c", code, str(root)])
    wall, cores, found = map(float, line.split())
    if found != bench.scanned:
        raise UserError(f"{program.name} found {found:.0f} of {bench.scanned} images")
    return {("whole scan", "s"): wall, ("processor time", "s"): cores}
