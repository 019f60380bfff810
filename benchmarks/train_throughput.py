"""Training throughput beside the original's, in images/s: python benchmarks/train_throughput.py

Both programs are started in the same way on the same YOLO-format copy of a data set, and are timed
from outside: an epoch ends when its row appears in results.csv. The first epoch (start-up, caches,
loaders) and the last one (end of the run) are not counted. Both validate after each epoch, on a
single image, because yolov5==7.0.14 stops with an error under --noval. They run in turn, A B A B,
so that a slower hour of the machine affects both.

The original is YOLOv5 for graphs with anchors and Ultralytics for the others. It needs its own
environment (for the others: ultralytics instead of yolov5==7.0.14):
    python -m venv reference
    reference/bin/pip install "setuptools<80" "numpy<2.3" torch torchvision yolov5==7.0.14
    python benchmarks/train_throughput.py --data bccd.yaml --cfg yolov5n.yaml \\
        --reference-python reference/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

if __name__ == "__main__":  # started as a script: import from the project's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.throughput_sides import Side, copy_dataset, make_sides

POLL_INTERVAL = 0.02  # seconds between two looks at results.csv
# Variables that are removed, so that each program keeps its own defaults.
SCRUBBED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")


def parse_throughput_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--data",
        default="data/shapes.yaml",
        help="data set YAML: YOLO labels, VOC XML or COCO JSON",
    )
    parser.add_argument(
        "--reference-python", help="Python that has the original; without it ours runs alone"
    )
    parser.add_argument(
        "--cfg", default="yolov5n.yaml", help="model that both programs know by this name"
    )
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--epochs", type=int, default=4, help="epochs of a turn, two of which are not counted"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each program")
    parser.add_argument(
        "--images", type=int, default=0, help="number of training images; 0 for all"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    flags = parser.parse_args()
    if flags.epochs < 3:
        parser.error("--epochs must be at least 3: the first and the last are not counted")
    return flags


def take_turn(side: Side, turn: int, image_count: int) -> None:
    """Run a program once, and append the rates of the counted epochs to side.rates.

    Args:
        side: the program.
        turn: number of the run.
        image_count: number of images of an epoch.

    Raises:
        SystemExit: the program failed; the message has the end of its output.
    """
    side.folder.mkdir(exist_ok=True)
    environment = {
        key: value for key, value in os.environ.items() if key not in SCRUBBED
    } | side.environment
    command = [*side.start, *(part.format(side.folder, f"turn{turn}") for part in side.place)]
    log = side.folder / f"turn{turn}.log"
    with open(log, "wb") as output:
        child = subprocess.Popen(
            command,
            cwd=side.folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        try:
            stamps = watch_epochs(child, side.folder / f"turn{turn}" / "results.csv")
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        tail = log.read_text(errors="replace")[-3000:]
        raise SystemExit(
            f"{tail}\n{side.name} ended with status {child.returncode}: {' '.join(command)}"
        )
    # stamps[:-1] drops the last epoch, and pairs begin after the first.
    side.rates.append([image_count / (after - before) for before, after in pairwise(stamps[:-1])])


def watch_epochs(child: subprocess.Popen[bytes], table: Path) -> list[float]:
    """Wait for the child to end, and return the times at which rows of the table appeared.

    The table has a header line, and a row for each epoch.
    """
    stamps: list[float] = []
    running = True
    while running:
        running = child.poll() is None
        rows = len(table.read_bytes().splitlines()) - 1 if table.exists() else 0
        stamps += [time.perf_counter()] * (rows - len(stamps))
        time.sleep(POLL_INTERVAL)
    return stamps


def shares(side: Side) -> dict[str, float]:
    """Seconds per image in loader, forward, backward and optimizer in our last turn."""
    files = sorted(side.folder.glob("turn*/timing.json"))
    seconds = json.loads(files[-1].read_text()) if files else {}
    return {
        part: seconds[part]
        for part in ("loader", "forward", "backward", "optimizer")
        if part in seconds
    }


def print_report(
    sides: list[Side], flags: argparse.Namespace, image_count: int
) -> dict[str, object]:
    """Print the table of the measurements.

    Args:
        sides: the programs, ours first.
        flags: flags of the benchmark.
        image_count: number of images of an epoch.

    Returns:
        The same figures for a JSON file.
    """
    print(
        f"\n{flags.cfg}, {flags.imgsz} px, batch {flags.batch_size}, {image_count} images an epoch,"
        f" {flags.workers} workers, device {flags.device}, {os.cpu_count()} cores,"
        f" {platform.machine()}"
    )
    for side in sides:
        medians = "  ".join(f"{statistics.median(turn):.2f}" for turn in side.rates)
        print(f"{side.name:>10}: {side.median:7.2f} images/s   (turns: {medians})")
    parts = shares(sides[0])
    total = sum(parts.values()) or 1.0
    print(
        "      ours: " + ", ".join(f"{name} {value / total:.1%}" for name, value in parts.items())
    )
    figures: dict[str, object] = {
        "flags": {key: str(value) for key, value in vars(flags).items()},
        "images": image_count,
        "ours_seconds_per_image": parts,
    }
    for side in sides:
        figures[side.name] = {"median": side.median, "rates": side.rates}
    if len(sides) == 2:
        ratio = sides[0].median / sides[1].median
        turns = zip(*(map(statistics.median, side.rates) for side in sides), strict=True)
        each = [first / second for first, second in turns]
        print(
            f"     ratio: {ratio:7.2f}              (turns:"
            f" {'  '.join(f'{value:.2f}' for value in each)})"
        )
        figures["ratio"] = {"median": ratio, "turns": each}
    return figures


def main() -> None:
    flags = parse_throughput_flags()
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        scratch = Path(folder)
        data, image_count = copy_dataset(flags.data, flags.images, scratch / "data")
        sides = make_sides(flags, data, scratch)
        for turn in range(flags.rounds):
            for side in sides:
                print(f"turn {turn + 1}/{flags.rounds}: {side.name} …", flush=True)
                take_turn(side, turn, image_count)
        figures = print_report(sides, flags, image_count)
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
