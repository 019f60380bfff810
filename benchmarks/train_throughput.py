"""Training throughput, ours beside the original's, in images per second: python
benchmarks/train_throughput.py --help

Both programs are started the same way on the same YOLO-format copy of a data set and watched from
outside: a row that appears in results.csv ends an epoch. The first epoch (start-up, caches, warm
loaders) and the last (which ends the run) are not counted. Both validate each epoch, on a single
image, since yolov5==7.0.14 stops with an error under --noval. They run in turn, A B A B, so that
a slower hour of the machine falls on both.

The original, YOLOv5 for graphs with anchors and Ultralytics for the others, lives in an environment
of its own:
    python -m venv reference
    reference/bin/pip install "setuptools<80" "numpy<2.3" torch torchvision yolov5==7.0.14    # or: ultralytics
    python benchmarks/train_throughput.py --data bccd.yaml --reference-python reference/bin/python --cfg yolov5n.yaml
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLL_S = 0.02
SCRUBBED = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)  # each program keeps its own defaults


@dataclass
class Side:
    """One of the two programs. start: its command; environment: added to ours; rates: images/s of
    every epoch.

    place: how the command is told where to write, project and name.
    """

    name: str
    start: list[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    place: tuple[str, ...] = ("--project", "{0}", "--name", "{1}")
    rates: list[list[float]] = field(default_factory=list)  # a list for each turn

    @property
    def median(self) -> float:
        return statistics.median(rate for turn in self.rates for rate in turn)


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--data",
        default="data/shapes.yaml",
        help="data set YAML: YOLO labels, VOC XML or COCO JSON",
    )
    parser.add_argument(
        "--reference-python", help="interpreter that has the original; without it ours runs alone"
    )
    parser.add_argument(
        "--cfg", default="yolov5n.yaml", help="model that both programs know by this name"
    )
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--epochs", type=int, default=4, help="epochs in a turn, two of which are not counted"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each program")
    parser.add_argument(
        "--images", type=int, default=0, help="train on so many images only; 0 takes all"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    flags = parser.parse_args()
    if flags.epochs < 3:
        parser.error("--epochs must be at least 3: the first and the last are not counted")
    return flags


def copy_dataset(data: str, limit: int, folder: Path) -> tuple[Path, int]:
    """Copy images and write YOLO labels and a YAML that both programs read; return it and the
    training count.

    One image is left to validate on, so that an epoch's time is training time.
    """
    sys.path.insert(0, str(ROOT))
    from data.scanning.load import load_dataset
    from data.synthetic.shapes import label_rows

    counts = {}
    for task in ("train", "val"):
        index = load_dataset(data, task)
        counts[task] = min(limit or len(index), len(index)) if task == "train" else 1
        for kind in ("images", "labels"):
            (folder / kind / task).mkdir(parents=True)
        for number in range(counts[task]):
            sample = index[number]
            shutil.copyfile(
                sample.path, folder / "images" / task / f"{number:06}{Path(sample.path).suffix}"
            )
            rows = label_rows(sample.classes, sample.boxes, sample.size)
            (folder / "labels" / task / f"{number:06}.txt").write_text(rows)
    content = {
        "path": str(folder),
        "train": "images/train",
        "val": "images/val",
        "names": [*index.names.values()],
    }
    (folder / "data.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "data.yaml", counts["train"]


def isolated_home(folder: Path) -> dict[str, str]:
    """Variables that keep a program's settings and caches in folder; YOLOv5 finds its font there,
    else it downloads.
    """
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    for place in (folder, folder / "Ultralytics", folder / ".config/Ultralytics"):
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(font, place / "Arial.ttf")
    names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "YOLO_CONFIG_DIR", "MPLCONFIGDIR")
    places = (folder, folder / ".config", folder / ".cache", folder, folder / "matplotlib")
    return {name: str(place) for name, place in zip(names, places, strict=True)}


def make_sides(flags: argparse.Namespace, data: Path, scratch: Path) -> list[Side]:
    """Ours, and the reference if there is one, with the same flags."""
    shared = [
        "--cfg",
        flags.cfg,
        "--weights",
        "",
        "--data",
        str(data),
        "--imgsz",
        str(flags.imgsz),
        "--batch-size",
        str(flags.batch_size),
        "--epochs",
        str(flags.epochs),
        "--workers",
        str(flags.workers),
        "--device",
        flags.device,
        "--seed",
        "0",
        "--nosave",
        "--noplots",
    ]
    ours = Side("ours", [sys.executable, str(ROOT / "train.py"), *shared], scratch / "ours")
    if not flags.reference_python:
        return [ours]
    python = str(Path(flags.reference_python).absolute())
    environment = {
        **isolated_home(scratch / "home"),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    }  # they pickle models
    folder = scratch / "reference"
    if "yolov5" in flags.cfg:
        return [
            ours,
            Side("reference", [python, "-m", "yolov5.train", *shared], folder, environment),
        ]
    values = {
        "model": flags.cfg,
        "data": data,
        "imgsz": flags.imgsz,
        "batch": flags.batch_size,
        "seed": 0,
        "epochs": flags.epochs,
        "workers": flags.workers,
        "device": flags.device,
        "plots": False,
    }
    start = [
        python,
        "-c",
        "from ultralytics.cfg import entrypoint; entrypoint()",
        "detect",
        "train",
    ]
    start += [f"{name}={value}" for name, value in values.items()]
    return [ours, Side("reference", start, folder, environment, ("project={0}", "name={1}"))]


def take_turn(side: Side, turn: int, image_count: int) -> None:
    """Run the program once and append the rate of each epoch that counts to side.rates.

    Raises SystemExit with the end of its output if it fails.
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
            stamps = watch(child, side.folder / f"turn{turn}" / "results.csv")
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        tail = log.read_text(errors="replace")[-3000:]
        raise SystemExit(
            f"{tail}\n{side.name} ended with status {child.returncode}: {' '.join(command)}"
        )
    side.rates.append([image_count / (after - before) for before, after in pairwise(stamps[:-1])])


def watch(child: subprocess.Popen[bytes], table: Path) -> list[float]:
    """Wait for the child to end; return the times at which rows (one an epoch) appeared in the
    table.
    """
    stamps: list[float] = []
    running = True
    while running:
        running = child.poll() is None
        rows = len(table.read_bytes().splitlines()) - 1 if table.exists() else 0
        stamps += [time.perf_counter()] * (rows - len(stamps))
        time.sleep(POLL_S)
    return stamps


def shares(side: Side) -> dict[str, float]:
    """Of our last turn: seconds per image in loader, forward, backward and optimizer."""
    files = sorted(side.folder.glob("turn*/timing.json"))
    seconds = json.loads(files[-1].read_text()) if files else {}
    return {
        part: seconds[part]
        for part in ("loader", "forward", "backward", "optimizer")
        if part in seconds
    }


def report(sides: list[Side], flags: argparse.Namespace, image_count: int) -> dict[str, object]:
    """Print the table; return the figures."""
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
    figures: dict[str, object] = {"flags": {key: str(value) for key, value in vars(flags).items()},
                                  "images": image_count, "ours_seconds_per_image": parts}  # fmt: skip
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
    flags = parse_flags()
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        scratch = Path(folder)
        data, image_count = copy_dataset(flags.data, flags.images, scratch / "data")
        sides = make_sides(flags, data, scratch)
        for turn in range(flags.rounds):
            for side in sides:
                print(f"turn {turn + 1}/{flags.rounds}: {side.name} …", flush=True)
                take_turn(side, turn, image_count)
        figures = report(sides, flags, image_count)
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
