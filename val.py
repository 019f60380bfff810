"""Validation: how well a detector finds the labelled objects of a data set, and how fast.

    python val.py --weights best.pt --data my.yaml

An image passes through data.loader, the model, utils.nms and engine/evaluation/metrics.py. The
scores go to the terminal, and to charts and files in runs/val. train.py calls evaluate() after each
epoch.

All ties are resolved by stable sorts. Images of equal proportions keep the order of the data set
when batches are formed. Detections of equal confidence keep the order of their images, and within
an image that of suppression. YOLOv5's sort by proportions is not stable. Where proportions tie, its
batches and borders may therefore differ from ours, and its mAP by up to 0.003; with square images
(imgsz x imgsz for every image) both agree in six digits.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.evaluation.settings import VAL_LINE
    from utils.opening import open_program

    open_program(VAL_LINE)

import torch
from torch import nn

from data.dataset_yaml import read_dataset_yaml
from data.index import DatasetIndex
from data.scanning.load import load_dataset
from engine.detector_model import DetectorModel, in_half
from engine.evaluation.settings import CONF_OF_MAP, SPLITS, VAL_LINE, ValConfig
from engine.evaluation.tasks import (
    STUDY_SIZES,
    StudyRow,
    ValidationTask,
    measure_speed,
    score,
    study_sizes,
    task_labels,
)
from engine.exported.load import can_halve, load_detector
from engine.exported.model import ExportedDetector, agreed_size
from engine.inference.settings import USUAL_SIZE
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from models.weights.classes import Renumbered, compare_classes
from models.weights.load import find_weights, newest_best, read_weights
from models.yolo import DetectionModel
from utils.cli import build
from utils.config import suggestions
from utils.device import choose_half, describe_device, take_device
from utils.errors import UserError, run_main
from utils.exported_names import is_exported
from utils.families import family_of
from utils.files import ROOT, next_folder
from utils.structures import Metrics
from utils.text import counted

SUPPRESSED_NOTE = (
    "the file includes non-maximum suppression with thresholds of its own, so mAP is lower than"
    " that of the checkpoint; export without --nms to compare"
)
# Of a split, of each file for --task speed, of each file for --task study.
ValResult = Metrics | dict[str, Metrics] | dict[str, list[StudyRow]]


def check_classes(
    model: DetectorModel, index: DatasetIndex, config: ValConfig
) -> tuple[DetectorModel, tuple[str, ...]]:
    """Check that the classes of model and data set are the same, unless --single-cls is given.

    Args:
        model: The model to score.
        index: The labelled images.
        config: The flags, for the names of the files in the message.

    Returns:
        The model, with the class numbers of the data set, and notes on names that differ and on a
        file that suppresses boxes itself.

    Raises:
        UserError: The numbers of classes differ, or a class has another number.
    """
    suppresses = isinstance(model, ExportedDetector) and model.suppresses
    notes = (SUPPRESSED_NOTE,) if suppresses else ()
    if config.single_cls:
        return model, notes
    known, wanted = len(model.names), len(index.names)
    if known != wanted:
        raise UserError(
            f"{config.data}: has {counted(wanted, 'class', 'classes')}, but"
            f" {', '.join(config.weights)} has {known}; "
            "give the --data it was trained on, or --single-cls"
        )
    where = (", ".join(config.weights), config.data)
    order, note = compare_classes(model.names, index.names, where)
    if order != tuple(range(wanted)):
        model = Renumbered(cast(nn.Module, model), order, index.names).eval()
    return model, (*notes, note) if note else notes


def complete(given: dict[str, Any]) -> ValConfig:
    """Complete the flags from the checkpoint and the data set, and print each choice.

    Raises UserError if no trained checkpoint exists, or a named file is missing.
    """
    if not given.get("weights"):
        given["weights"] = (str(newest_best()),)
        print(f"--weights not given: taking the newest, {given['weights'][0]}")
    if not given.get("data"):
        given["data"] = trained_on(given["weights"][0])
        print(f"--data not given: taking {given['data']}")
    build(ValConfig, given)  # a mistake in a flag is reported before one in a file
    if is_exported(given["weights"][0]):
        return build(ValConfig, given)  # its size is known once it is opened
    info = read_dataset_yaml(given["data"])
    family = family_of(graph_of_weights(given["weights"][0]))
    suggested = suggestions(info.suggested, family, f"{info.path}: defaults")
    if "imgsz" not in given and "imgsz" in suggested:
        given["imgsz"] = suggested["imgsz"]
        print(f"--imgsz not given: taking {given['imgsz']}, which {given['data']} suggests")
    return build(ValConfig, given)


def open_exported(config: ValConfig, has_size: bool) -> tuple[ValConfig, ExportedDetector]:
    """Open an exported file, and complete the flags with its image size.

    Args:
        config: The flags.
        has_size: Whether the user gave --imgsz.

    Raises:
        UserError: The file cannot be used, or does not take the size given.
    """
    file, device = config.weights[0], take_device(config.device, config.tf32)
    model = load_detector(config.weights, device, config.attention, config.attention_init)
    assert isinstance(model, ExportedDetector)  # by its name
    size = agreed_size(model, (config.imgsz,) if has_size else (), USUAL_SIZE)
    if size[0] != size[-1]:
        raise UserError(
            f"{file}: takes images of {size[0]}x{size[-1]}, and scores are measured on square ones;"
            " export it with one --imgsz"
        )
    return dataclasses.replace(config, imgsz=size[0]), model


def graph_of_weights(weights: str) -> Mapping[str, Any]:
    """The graph of a checkpoint or a model YAML."""
    if weights.endswith((".yaml", ".yml")):
        return load_graph(weights)
    return read_weights(find_weights(weights)).graph


def trained_on(weights: str) -> str:
    """The data set YAML that a checkpoint names, if it still exists; otherwise data/shapes.yaml."""
    if is_exported(weights):
        raise UserError("--data: an exported file does not name its data set; give the YAML")
    if weights.endswith(".pt"):
        named = read_weights(find_weights(weights)).data
        if named and (Path(named).is_file() or (ROOT / named).is_file()):
            return named
    return "data/shapes.yaml"


def prepare_device(config: ValConfig) -> tuple[ValConfig, torch.device]:
    """Choose the device and print it, with warnings about flags; return the flags in force."""
    device = take_device(config.device, config.tf32)
    if config.half and not can_halve(config.weights):
        config = dataclasses.replace(config, half=False)
    if config.half and choose_half(device) == "fp32":
        print(f"--half: {device} is not faster in half precision; continuing in float32")
        config = dataclasses.replace(config, half=False)
    print(describe_device(device))
    if config.task in SPLITS and config.conf_thres > CONF_OF_MAP:
        print(
            f"--conf-thres {config.conf_thres} is above {CONF_OF_MAP}: mAP is too low to be"
            " compared"
        )
    return config, device


def make_tasks(config: ValConfig, models: Sequence[DetectorModel]) -> list[ValidationTask]:
    """Make a task per model: load the data set, check the classes and make the run's folder."""
    split = config.task if config.task in SPLITS else "val"
    index = load_dataset(config.data, split, single_cls=config.single_cls)
    checked = [check_classes(model, index, config) for model in models]
    for note in dict.fromkeys(note for _, notes in checked for note in notes):
        print(f"note: {note}")
    print(f"{split}: {index.report.table()}")
    folder = next_folder(config.project, config.name, config.exist_ok)
    if index.report.entries:
        index.report.write(folder / "data_report.csv")
    labels = task_labels(config.weights[: len(models)])
    return [
        ValidationTask(config, model, label, index, folder, notes, split)
        for (model, notes), label in zip(checked, labels, strict=True)
    ]


def validate_split(
    config: ValConfig, ready: DetectionModel | ExportedDetector | None = None
) -> Metrics:
    """Run --task train, val or test: score one model, or the ensemble of several files.

    ready is a model to use instead of loading config.weights, which then only name it.
    """
    config, device = prepare_device(config)
    if ready is None:
        return score(make_tasks(config, [load(config, config.weights, device)])[0])
    model = ready.on(device) if isinstance(ready, ExportedDetector) else ready.to(device)
    if config.half:
        model = copy.deepcopy(model)  # the caller may train it further
        in_half(model, device)
    return score(make_tasks(config, [model])[0])


def load(config: ValConfig, files: Sequence[str], device: torch.device) -> DetectorModel:
    """Load the model of one file, or the ensemble of several, as the flags say."""
    model = load_detector(files, device, config.attention, config.attention_init)
    if config.half:
        in_half(model, device)
    return model


def validate(config: ValConfig, ready: ExportedDetector | None = None) -> ValResult:
    """Run the task of the flags; speed and study measure each file of weights separately.

    ready is the exported file that config.weights names, where it is one.
    """
    if config.task in SPLITS:
        return validate_split(config, ready)
    config, device = prepare_device(config)
    models: list[DetectorModel] = [ready] if ready is not None else []
    models = models or [load(config, (file,), device) for file in config.weights]
    tasks = make_tasks(config, models)
    if config.task == "speed":
        return {task.label: measure_speed(task) for task in tasks}
    from engine.drawing.results import plot_study

    studies = {task.label: study_sizes(task, STUDY_SIZES) for task in tasks}
    plot_study(tasks[0].folder / "study.png", studies)
    print(f"Results saved to {tasks[0].folder}")
    return studies


def main(argv: list[str] | None = None) -> ValResult:
    """Read the flags and run the task."""
    given = VAL_LINE.read(argv)
    use_modules(given.get("modules", ()))
    config = complete(given)
    if is_exported(config.weights[0]):
        return validate(*open_exported(config, "imgsz" in given))
    return validate(config)


if __name__ == "__main__":
    sys.exit(run_main(main))
