"""Validation: how well a detector finds the labelled objects of a data set, and how fast.

`python val.py --weights best.pt --data my.yaml`. The way: data.loader -> model -> utils.nms ->
engine.evaluation.metrics, and from there to the terminal, charts and files in runs/val. train.py
calls evaluate() after each epoch.

Two orders decide how ties fall. Images of equal proportions keep the order of the data set when
batches are formed (a stable sort), and so do detections of equal confidence (that of images, then
of suppression). YOLOv5's sort by proportion is not stable, so that its batches, their frames and
hence its mAP may differ from ours by up to 0.003 where proportions tie; with square frames (imgsz x
imgsz for every image) both agree in six digits.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from data.dataset import DatasetSettings
from data.dataset_yaml import read_dataset_yaml
from data.index import DatasetIndex
from data.loader import Loader, build_loader
from data.scanning.load import load_dataset
from data.workers import choose_workers
from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.evaluation.metrics import PROTOCOLS
from engine.evaluation.predictions import file_stems
from models.graph.read import load_graph
from models.weights.ensemble import load_models
from models.weights.load import newest_best, read_weights
from utils.cli import build, flag, read_flags
from utils.config import Hyperparameters, family_of, suggestions
from utils.device import describe, select_device
from utils.errors import UserError, run_main
from utils.files import ROOT, atomic_write, find_file, next_folder
from utils.structures import Metrics
from utils.tables import area_line, speed_line, text_table

__all__ = ["EvalSettings", "ValConfig", "evaluate", "main"]
STUDY_SIZES = range(256, 1536 + 1, 128)  # pixels
CONF_OF_MAP = (
    0.001  # above it the ends of the precision-recall curves are missing and mAP is too low
)
REFUSED_VAL_FLAGS = {
    "--dnn": (
        "OpenCV's DNN module runs exported models only; validate the checkpoint itself, its scores"
        " are the same"
    ),
}


@dataclass(frozen=True)
class ValConfig:
    """All flags of val.py. Raises UserError for an impossible value, with the flag's name."""

    weights: tuple[str, ...] = flag(
        (),
        "checkpoints, several make an ensemble; if left out the newest best.pt",
        kind=str,
        nargs="+",
    )
    attention: tuple[str, ...] = flag(
        (), "modules to put into the weights' graph first, such as SimAM@neck", kind=str, nargs="+"
    )
    attention_init: str = flag(
        "", "how those start: identity changes no output", choices=("", "paper", "identity")
    )
    data: str = flag("", "data set YAML; the one the checkpoint was trained on if left out")
    batch_size: int = flag(32, "images at a time", aliases=("--batch",))
    imgsz: int = flag(640, "longer side of the images, pixels", aliases=("--img", "--img-size"))
    conf_thres: float = flag(CONF_OF_MAP, "lowest confidence of a detection", aliases=("--conf",))
    iou_thres: float | None = flag(
        None,
        "overlap above which the less confident of two boxes goes; left out: 0.6, for "
        "graphs without anchors 0.7",
        kind=float,
        aliases=("--iou",),
    )
    max_det: int = flag(300, "most detections of a image")
    protocol: str = flag(
        "yolov5",
        "whose rule mAP is measured by; their figures must not be compared",
        choices=PROTOCOLS,
    )
    task: str = flag(
        "val",
        "the split to score, or speed, or study (accuracy and time over image sizes)",
        choices=("train", "val", "test", "speed", "study"),
    )
    device: str = flag("", "cuda device such as 0, or cpu, or mps; '' chooses")
    workers: int = flag(8, "loader processes at most; the machine's cores bound it")
    single_cls: bool = flag(False, "treat all classes as one")
    augment: bool = flag(False, "test-time augmentation: three scales, one mirrored")
    verbose: bool = flag(False, "a row for each class however many there are")
    save_txt: bool = flag(False, "write detections as labels/*.txt")
    save_hybrid: bool = flag(
        False, "write labels and detections together as labels/*.txt; mAP then means nothing"
    )
    save_conf: bool = flag(False, "add the confidence to each row of --save-txt")
    save_json: bool = flag(False, "write detections as COCO JSON and score them by COCO's protocol")
    project: str = flag("runs/val", "folder of runs")
    name: str = flag("exp", "name of this run")
    exist_ok: bool = flag(False, "write into project/name even if it is there")
    half: bool = flag(False, "half precision (CUDA)")
    noplots: bool = flag(False, "draw no images")

    def __post_init__(self) -> None:
        for name, value, least in (("--batch-size", self.batch_size, 1), ("--imgsz", self.imgsz, 32),
                                   ("--max-det", self.max_det, 1), ("--workers", self.workers, 0)):  # fmt: skip
            if value < least:
                raise UserError(f"{name}={value}: must be at least {least}")
        for name, share in (("--conf-thres", self.conf_thres), ("--iou-thres", self.iou_thres)):
            if share is not None and not 0 <= share <= 1:
                raise UserError(f"{name}={share}: must be in 0..1")
        if self.attention_init and not self.attention:
            raise UserError(
                f"--attention-init {self.attention_init}: is of what --attention puts in; give"
                " that too"
            )


@dataclass(frozen=True)
class Job:
    """What one validation works with."""

    config: ValConfig
    model: nn.Module
    label: str  # stem of the weights
    index: DatasetIndex
    folder: Path


def make_loader(job: Job, imgsz: int, square: bool = False) -> Loader:
    """Batches for validation: like shapes together with half a stride of grey around them, as
    YOLOv5, or square.
    """
    stride = int(job.model.stride.max())  # type: ignore[operator]
    fitting = math.ceil(imgsz / stride) * stride
    if fitting != imgsz:
        print(f"--imgsz {imgsz} is no multiple of the stride {stride}: taking {fitting}")
    settings = DatasetSettings(
        imgsz=fitting, stride=stride, augment=False, hyp=Hyperparameters(), rect=not square,
        batch_size=job.config.batch_size, pad=0.0 if square else 0.5, seed=0, cache="no",
    )  # fmt: skip
    device = next(job.model.parameters()).device.type
    workers = choose_workers(job.config.workers, device, job.config.batch_size)
    return build_loader(job.index, settings, workers=workers, pin_memory=device == "cuda")


def check_classes(model: nn.Module, index: DatasetIndex, config: ValConfig) -> None:
    known, wanted = len(model.names), len(index.names)  # type: ignore[arg-type]
    if known != wanted and not config.single_cls:
        raise UserError(
            f"{config.data}: has {wanted} classes, but {', '.join(config.weights)} knows {known}; "
            "give the --data it was trained on, or --single-cls"
        )


def settings_of(config: ValConfig, **changes: Any) -> EvalSettings:
    """The part of the flags that evaluate() reads."""
    settings = EvalSettings(
        conf=config.conf_thres,
        iou=config.iou_thres,
        max_det=config.max_det,
        protocol=config.protocol,
        single_cls=config.single_cls,
        augment=config.augment,
        precision="fp16" if config.half else "fp32",
        verbose=config.verbose,
        save_txt=config.save_txt or config.save_hybrid,
        save_hybrid=config.save_hybrid,
        save_conf=config.save_conf,
        plots=not config.noplots,
    )
    return dataclasses.replace(settings, **changes)


def score(job: Job) -> Metrics:
    """--task train, val or test: the table, charts and files of one evaluation."""
    config, loader = job.config, make_loader(job, job.config.imgsz)
    many = len(job.index.names) >= 50
    json_name = (
        f"{job.label}_predictions.json"
        if config.save_json or config.data.endswith("coco.yaml")
        else ""
    )
    measures_area = find_spec("faster_coco_eval") is not None
    if config.save_json and not measures_area:
        raise UserError(
            "--save-json: COCO's protocol needs faster-coco-eval; pip install faster-coco-eval"
        )
    changes = {
        "save_dir": job.folder,
        "json_name": json_name,
        "verbose": config.verbose or not many,
    }
    settings = settings_of(
        config,
        **changes,
        area=measures_area,
        coco_categories=is_coco(job.index),
        names=dict(job.index.names),
    )
    metrics = evaluate(job.model, loader, settings)
    metrics.extra["save_dir"] = job.folder
    if config.protocol == "yolov8":
        print(
            "mAP by YOLOv8's protocol; do not compare it with YOLOv5's, which is higher where"
            " recall is low"
        )
    print(
        area_line(metrics)
        if measures_area
        else "AP by size of object: pip install faster-coco-eval"
    )
    print(speed_line(metrics.speed_ms, metrics.extra["shape"]))
    if json_name and metrics.coco:
        print(f"COCO's protocol on {job.folder / json_name}:")
        print(
            text_table(
                ("figure", "value"),
                [(name, round(value, 4)) for name, value in metrics.coco.items()],
            )
        )
    labels = f", detections to {job.folder / 'labels'}" if settings.save_txt else ""
    print(f"Results saved to {job.folder}{labels}")
    return metrics


def is_coco(index: DatasetIndex) -> bool:
    """Whether these are COCO's own validation images, whose result files use COCO's 91 category
    numbers.
    """
    return len(index) > 0 and Path(index.path(0)).parent.as_posix().endswith("coco/images/val2017")


def measure_speed(job: Job) -> Metrics:
    """--task speed: square images, detect.py's thresholds, no charts; the time is what counts."""
    loader = make_loader(job, job.config.imgsz, square=True)
    thresholds = {"conf": 0.25, "iou": 0.45 if getattr(job.model, "objectness", True) else 0.7}
    metrics = evaluate(job.model, loader, settings_of(job.config, **thresholds, plots=False))
    print(f"{job.label}: {speed_line(metrics.speed_ms, metrics.extra['shape'])}")
    return metrics


def study(job: Job) -> list[tuple[float, float, float, float]]:
    """--task study: score at each of STUDY_SIZES and keep the figures in
    study_<data>_<weights>.txt.

    Returns rows (imgsz, milliseconds a image, mAP50-95, mAP50) for the chart.
    """
    lines, rows = [], []
    for imgsz in STUDY_SIZES:
        print(f"{job.label} at {imgsz} pixels")
        metrics = evaluate(job.model, make_loader(job, imgsz), settings_of(job.config, plots=False))
        scores = (metrics.precision, metrics.recall, metrics.map50, metrics.map, *metrics.losses)
        lines.append(
            "".join(f"{value:>10.4g} " for value in (*scores, *metrics.speed_ms.values())).rstrip()
            + "\n"
        )
        rows.append((float(imgsz), sum(metrics.speed_ms.values()), metrics.map, metrics.map50))
    with atomic_write(
        job.folder / f"study_{Path(job.config.data).stem}_{job.label}.txt", "w"
    ) as file:
        file.writelines(lines)
    return rows


def complete(given: dict[str, Any]) -> ValConfig:
    """Flags over the data set's suggestion over the defaults; what was chosen for the user is said.

    Raises UserError if nothing was trained yet, or a named file is missing.
    """
    if not given.get("weights"):
        given["weights"] = (str(newest_best()),)
        print(f"--weights not given: taking the newest, {given['weights'][0]}")
    if not given.get("data"):
        given["data"] = trained_on(given["weights"][0])
        print(f"--data not given: taking {given['data']}")
    build(ValConfig, given)  # a flag's mistake is told before a file's
    info = read_dataset_yaml(given["data"])
    suggested = suggestions(
        info.suggested, family_of(graph_of(given["weights"][0])), f"{info.path}: defaults"
    )
    if "imgsz" not in given and "imgsz" in suggested:
        given["imgsz"] = suggested["imgsz"]
        print(f"--imgsz not given: taking {given['imgsz']}, which {given['data']} suggests")
    return build(ValConfig, given)


def job_labels(files: Sequence[str]) -> list[str]:
    """The weights' stems; if some are alike, as best.pt of several runs are, with their run's name
    in front.
    """
    stems = [Path(file).stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    runs = [Path(file).resolve().parent.parent.name for file in files]
    return file_stems([f"{run}_{stem}" for run, stem in zip(runs, stems, strict=True)])


def graph_of(weights: str) -> dict[str, Any]:
    """The graph of a checkpoint or a model YAML."""
    return (
        load_graph(weights)
        if weights.endswith((".yaml", ".yml"))
        else read_weights(find_file(weights)).graph
    )


def trained_on(weights: str) -> str:
    """The data set YAML a checkpoint remembers, if it is still there, else the generated shapes."""
    if weights.endswith(".pt"):
        remembered = read_weights(find_file(weights)).data
        if remembered and (Path(remembered).is_file() or (ROOT / remembered).is_file()):
            return remembered
    return "data/shapes.yaml"


def main(argv: list[str] | None = None) -> Any:
    """Read the flags and do the task; returns what validate() does."""
    given = read_flags(
        ValConfig, argv, "Score a detector on a labelled data set.", REFUSED_VAL_FLAGS
    )
    return validate(complete(given))


def validate(config: ValConfig, ready: nn.Module | None = None) -> Any:
    """Do config's task; returns Metrics, or for speed and study a mapping of weights to results.

    ready: a model to take in place of config.weights, which then only name it. api/yolo.py calls
    this too.
    """
    device = select_device(config.device)
    if config.half and device.type != "cuda":
        print(f"--half needs CUDA; going on in float32 on {device}")
        config = dataclasses.replace(config, half=False)
    print(describe(device))
    if config.task in ("train", "val", "test") and config.conf_thres > CONF_OF_MAP:
        print(
            f"--conf-thres {config.conf_thres} is above {CONF_OF_MAP}: mAP comes out too low to be"
            " compared"
        )
    split = config.task if config.task in ("train", "val", "test") else "val"
    groups = [config.weights] if split == config.task else [(file,) for file in config.weights]
    inserted = (config.attention, config.attention_init)
    models = (
        [load_models(files, device, *inserted) for files in groups]
        if ready is None
        else [ready.to(device)]
    )
    index = load_dataset(config.data, split, single_cls=config.single_cls)
    for model in models:
        check_classes(model, index, config)
    print(f"{split}: {index.report.table()}")
    folder = next_folder(config.project, config.name, config.exist_ok)
    if index.report.entries:
        index.report.write(folder / "data_report.csv")
    labels = job_labels([files[0] for files in groups])
    jobs = [
        Job(config, model, label, index, folder)
        for model, label in zip(models, labels, strict=True)
    ]
    if split == config.task:
        return score(jobs[0])
    if config.task == "speed":
        return {job.label: measure_speed(job) for job in jobs}
    from engine.drawing.plots import plot_study

    studies = {job.label: study(job) for job in jobs}
    plot_study(folder / "study.png", studies)
    print(f"Results saved to {folder}")
    return studies


if __name__ == "__main__":
    sys.exit(run_main(main))
