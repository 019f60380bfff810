"""The single runs of bench/finetune.py: training by one program, and scores by both."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.beside.process import run_timed
from bench.beside.programs import OURS, YOLOV5, Program, Request
from data.convert import ConvertConfig, convert
from utils.errors import UserError
from utils.files import atomic_write

MAP_COLUMN, MAP50_COLUMN = "metrics/mAP_0.5:0.95", "metrics/mAP_0.5"
# The row of all classes: images, instances, precision, recall, mAP50, mAP50-95.
ALL_ROW = re.compile(r"^\s*all\s+\d+\s+\d+\s+\S+\s+\S+\s+(\S+)\s+(\S+)\s*$", re.MULTILINE)
# Run by YOLOv5's Python: a checkpoint of its own from weights under its own keys.
MAKE_CHECKPOINT = """
import json, sys, torch, yolov5
from pathlib import Path
from yolov5.models.yolo import DetectionModel
graph, names, weights, out = sys.argv[1:]
names = json.loads(names)
file = Path(yolov5.__file__).parent / "models" / (graph + ".yaml")
model = DetectionModel(str(file), ch=3, nc=len(names))
model.load_state_dict(torch.load(weights))
model.nc, model.names = len(names), dict(enumerate(names))
torch.save({"model": model, "epoch": -1}, out)
"""


@dataclass(frozen=True)
class FinetuneSet:
    """A data set: its short name, its YAML file, and the side of the images, pixels."""

    name: str
    file: str
    imgsz: int


@dataclass(frozen=True)
class FinetuneSettings:
    """What is the same in all runs: weights, hyperparameters, the graph's name, and numbers."""

    weights: Path
    hyp: Path
    graph: str
    epochs: int
    batch: int
    workers: int


@dataclass(frozen=True)
class FinetuneRun:
    """A training: of which data set, by which program, with which seed."""

    dataset: FinetuneSet
    program: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder's name."""
        place = f"{self.dataset.name}-{self.dataset.imgsz}-{self.program}-{self.seed}"
        return place.replace(" ", "-").lower()


@dataclass
class Result:
    """What a run gave.

    Attributes:
        dataset, program, seed: The run.
        map, map50: mAP50-95 and mAP50 after each epoch, as the program itself scored them.
        scores: mAP50 and mAP50-95 of best.pt, by the program that scored it.
        seconds: How long training and scoring took.
        settings: The settings of the run, as text.
    """

    dataset: str
    program: str
    seed: int
    map: list[float]
    map50: list[float]
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)

    def like(self, run: FinetuneRun) -> bool:
        """Whether it is of the run's data set and program."""
        return (self.dataset, self.program) == (run.dataset.name, run.program)

    def to_json(self) -> str:
        """One line of JSON, which read_result reads."""
        return json.dumps(asdict(self))


def read_result(text: str) -> Result:
    """The result that to_json wrote."""
    content = json.loads(text)
    content["scores"] = {name: (pair[0], pair[1]) for name, pair in content["scores"].items()}
    return Result(**content)


def make_run(
    run: FinetuneRun, settings: FinetuneSettings, programs: Mapping[str, Program], out: Path
) -> Result:
    """The result of a run, which is made unless its file exists.

    Args:
        run: The run.
        settings: What is the same in all runs.
        programs: The programs by name.
        out: Folder of runs and of the converted data sets.

    Raises:
        UserError: A program failed, or the file is of a run with other settings.
    """
    folder = out / "runs" / run.name
    told = {name: str(value) for name, value in asdict(settings).items()}
    told["imgsz"] = str(run.dataset.imgsz)
    file = folder / "result.json"
    if file.exists():
        result = read_result(file.read_text())
        if result.settings != told:
            raise UserError(f"{file}: made with other settings; choose another --out")
        return result
    shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
    folder.mkdir(parents=True)
    print(f"{run.name}: training", flush=True)
    result = train_and_score(run, settings, programs, folder)
    result.settings = told
    with atomic_write(file, "w") as stream:
        stream.write(result.to_json())
    return result


def train_and_score(
    run: FinetuneRun, settings: FinetuneSettings, programs: Mapping[str, Program], folder: Path
) -> Result:
    """Make a run in an empty folder."""
    program = programs[run.program]
    data = converted(run.dataset, program)
    flags = training_flags(run, settings, data)
    words = program.words("train", {**flags, "project": folder, "name": "train"})
    seconds = run_timed(program.command(words), folder / "train.log").wall
    curves = read_curves(folder / "train/results.csv")
    result = Result(run.dataset.name, run.program, run.seed, *curves)
    best = folder / "train/weights/best.pt"
    for scorer in programs.values():
        words = scoring_words(run, scorer, best, converted(run.dataset, scorer))
        if scorer.name == YOLOV5 and run.program == OURS:
            names = class_names(run.dataset, scorer)
            words[words.index(str(best))] = str(as_yolov5(best, settings.graph, names, programs))
        log = folder / f"val-{scorer.name.replace(' ', '-').lower()}.log"
        seconds += run_timed(scorer.command(words), log).wall
        result.scores[scorer.name] = read_scores(log.read_text(errors="replace"))
    result.seconds = seconds
    return result


def training_flags(run: FinetuneRun, settings: FinetuneSettings, data: Path) -> Request:
    """The flags of a training.

    Both programs get the same, but that ours computes in bf16 where it can unless it is told to
    take float32, which YOLOv5 always takes on a processor.
    """
    flags: dict[str, object] = {
        "weights": settings.weights,
        "data": data,
        "hyp": settings.hyp,
        "imgsz": run.dataset.imgsz,
        "batch-size": settings.batch,
        "epochs": settings.epochs,
        "workers": settings.workers,
        "device": "cpu",
        "seed": run.seed,
        "cache": "ram",
        "noplots": True,
    }
    return flags | ({"precision": "fp32"} if run.program == OURS else {})


def scoring_words(run: FinetuneRun, scorer: Program, weights: Path, data: Path) -> list[str]:
    """The command by which a program scores a checkpoint.

    Args:
        run: The run that made it.
        scorer: The program that scores it.
        weights: The checkpoint.
        data: Data set YAML of the scorer's copy.
    """
    flags = {"weights": weights, "data": data, "imgsz": run.dataset.imgsz, "batch-size": 32}
    place = {"device": "cpu", "workers": 0, "project": scorer.home / "val", "name": run.name}
    return scorer.words("val", {**flags, **place, "exist-ok": True})


def converted(dataset: FinetuneSet, program: Program) -> Path:
    """The program's own copy of a data set with YOLO labels; the YAML file of it."""
    folder = program.home / f"data-{dataset.name}"
    file = folder / "data.yaml"
    if not file.exists():
        convert(ConvertConfig(data=dataset.file, out=str(folder), copy=True, exist_ok=True))
    return file


def class_names(dataset: FinetuneSet, program: Program) -> list[str]:
    """Names of the classes in the order of their numbers."""
    from utils.yaml_file import load_yaml

    names = load_yaml(converted(dataset, program))["names"]
    return [str(name) for name in (names.values() if isinstance(names, dict) else names)]


def as_yolov5(best: Path, graph: str, names: list[str], programs: Mapping[str, Program]) -> Path:
    """Our checkpoint as one of YOLOv5, which takes it from its state dict.

    Args:
        best: Our checkpoint.
        graph: YOLOv5's name of its graph.
        names: Names of the classes.
        programs: Both programs.
    """
    ours, theirs = programs[OURS], programs[YOLOV5]
    words = [*ours.start("export"), "--weights", str(best), "--save-upstream"]
    run_timed(ours.command(words), best.with_suffix(".export.log"))
    state, out = best.with_name("best_upstream.pt"), best.with_name("best_yolov5.pt")
    words = [theirs.python, "-c", MAKE_CHECKPOINT, graph, json.dumps(names), str(state), str(out)]
    run_timed(theirs.command(words), best.with_suffix(".yolov5.log"))
    return out


def read_curves(table: Path) -> tuple[list[float], list[float]]:
    """mAP50-95 and mAP50 after each epoch, from results.csv of either program."""
    with open(table, newline="") as file:
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]
    first, second = ([float(row[name]) for row in rows] for name in (MAP_COLUMN, MAP50_COLUMN))
    return first, second


def read_scores(text: str) -> tuple[float, float]:
    """mAP50 and mAP50-95 from what either program's validation prints.

    Raises UserError if there is no row of all classes.
    """
    rows = ALL_ROW.findall(text)
    if not rows:
        raise UserError(f"the validation printed no row of all classes:\n{text[-1000:]}")
    return float(rows[-1][0]), float(rows[-1][1])
