"""The two programs of benchmarks/train_throughput.py: their commands, folders and data set."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

from data.scanning.load import load_dataset
from data.synthetic.shapes import label_rows
from utils.files import ROOT


@dataclass
class Side:
    """One of the two programs.

    Attributes:
        name: name in the table.
        start: the command that starts it.
        folder: folder in which it runs and writes.
        environment: variables to add to those of this process.
        place: arguments that give the folder {0} and the name {1} of a run.
        rates: images/s of every counted epoch, a list for each turn.
    """

    name: str
    start: list[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    place: tuple[str, ...] = ("--project", "{0}", "--name", "{1}")
    rates: list[list[float]] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(rate for turn in self.rates for rate in turn)


def copy_dataset(data: str, limit: int, folder: Path) -> tuple[Path, int]:
    """Copy images, and write YOLO labels and a YAML file that both programs read.

    There is only one image for validation, so that the time of an epoch is training time.

    Args:
        data: data set YAML of any format.
        limit: maximum number of training images; 0 for all.
        folder: folder to write into.

    Returns:
        The YAML file and the number of training images.
    """
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
            # Labels are written anew, so that data sets of other formats can be used too.
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
    """Environment variables that keep a program's settings and caches in a folder.

    The folder also gets the font that YOLOv5 would download otherwise.
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
    """Our program, and the reference if there is one, with the same flags.

    Args:
        flags: flags of the benchmark.
        data: YAML file of the copied data set.
        scratch: folder for the programs' files.
    """
    settings = {
        "cfg": flags.cfg,
        "weights": "",
        "data": data,
        "imgsz": flags.imgsz,
        "batch-size": flags.batch_size,
        "epochs": flags.epochs,
        "workers": flags.workers,
        "device": flags.device,
        "seed": 0,
    }
    shared = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    shared += ["--nosave", "--noplots"]
    ours = Side("ours", [sys.executable, str(ROOT / "train.py"), *shared], scratch / "ours")
    if not flags.reference_python:
        return [ours]
    python = str(Path(flags.reference_python).absolute())
    environment = {
        **isolated_home(scratch / "home"),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # The reference pickles whole models.
    }
    folder = scratch / "reference"
    if "yolov5" in flags.cfg:
        start = [python, "-m", "yolov5.train", *shared]
        return [ours, Side("reference", start, folder, environment)]
    start = [python, "-c", "from ultralytics.cfg import entrypoint; entrypoint()"]
    start += ["detect", "train", *ultralytics_settings(flags, data)]
    return [ours, Side("reference", start, folder, environment, ("project={0}", "name={1}"))]


def ultralytics_settings(flags: argparse.Namespace, data: Path) -> list[str]:
    """The same flags under Ultralytics' names."""
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
    return [f"{name}={value}" for name, value in values.items()]
