"""A data set of very many images: time of the scan, memory of the processes, exact batches.

    python -m bench.faults.many_images --count 100000

The images are hard links of a few small JPEGs, in a temporary folder that is deleted at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from data.dataset import DatasetSettings
from data.index import DatasetIndex
from data.loader import Loader, build_loader
from data.scanning.load import load_dataset
from utils.files import save_yaml

ORIGINALS, SIDE, PER_FOLDER = 8, 96, 10_000
BATCHES = 40  # whose pixels are compared


def make_images(root: Path, count: int) -> Path:
    """Write the images, their labels and the YAML of the data set; return the YAML."""
    import cv2

    rng = np.random.default_rng(0)
    originals = root / "originals"
    originals.mkdir()
    for number in range(ORIGINALS):
        blocks = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(originals / f"{number}.jpg"), cv2.resize(blocks, (SIDE, SIDE)))
        (originals / f"{number}.txt").write_text(f"{number % 2} .5 .5 .4 .4\n")
    for number in range(count):
        part = f"{number // PER_FOLDER:03d}"
        for kind, suffix in (("images", "jpg"), ("labels", "txt")):
            folder = root / kind / part
            if number % PER_FOLDER == 0:
                folder.mkdir(parents=True)
            os.link(originals / f"{number % ORIGINALS}.{suffix}", folder / f"{number:06d}.{suffix}")
    path = root / "data.yaml"
    save_yaml(path, {"path": str(root), "train": "images", "val": "images", "names": ["a", "b"]})
    return path


def memory(pid: int | str) -> str:
    """Proportional, unique and resident memory of a process in MB, as far as the system says it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return "not known"
    sizes = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines}
    unique = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return f"PSS {sizes['Pss']} MB, USS {unique} MB, RSS {sizes['Rss']} MB"


def digest_of(loader: Loader, report: bool) -> str:
    """A hash over the first batches of an epoch; prints the memory of a worker on the way."""
    state = hashlib.sha256()
    for number, batch in enumerate(islice(iter(loader), BATCHES)):
        state.update(batch.images.numpy().tobytes() + batch.targets.numpy().tobytes())
        state.update("\0".join(batch.paths).encode())
        if report and number == BATCHES // 2:
            pids = [int(pid) for pid in loader.watch.rows[:, 0] if pid]
            print(f"worker {pids[0]}: {memory(pids[0])}" if pids else "no worker")
    return state.hexdigest()


def measure(path: Path) -> bool:
    """Print the figures; return whether the batches are the same for 0 and 4 workers."""
    index: DatasetIndex | None = None
    for what in ("scan", "from the cache"):
        start = time.monotonic()
        index = load_dataset(path, "train")
        print(f"{what}: {time.monotonic() - start:.1f} s, {index.report.summary()}")
    assert index is not None
    print(f"main process: {memory('self')}")
    digests = []
    for workers in (0, 4):
        settings = DatasetSettings(SIDE, augment=True, batch_size=16)
        loader = build_loader(index, settings, workers=workers, shuffle=True)
        digests.append(digest_of(loader, workers > 0))
        print(f"--workers {workers}: {digests[-1][:16]}")
    return digests[0] == digests[1]


def main() -> int:
    """Make the data set, measure, and delete it; the status is 0 if the batches are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CACHE_DIR"] = f"{folder}/cache"
        start = time.monotonic()
        path = make_images(Path(folder), arguments.count)
        print(f"{arguments.count:,} images linked in {time.monotonic() - start:.1f} s")
        equal = measure(path)
    print("batches are equal" if equal else "BATCHES DIFFER")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
