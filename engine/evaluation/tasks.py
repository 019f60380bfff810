"""The tasks of val.py: score a split, measure speed, or study image sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from data.dataset import DatasetSettings
from data.dataset_yaml import read_dataset_yaml
from data.formats.coco_ids import find_ids
from data.grey import channel_notes
from data.index import DatasetIndex
from data.loader import Loader, build_loader
from data.workers import choose_workers
from engine.detector_model import DetectorModel, device_of, fixed_size, image_channels
from engine.evaluation.coco import score_file
from engine.evaluation.curves_file import write_curves
from engine.evaluation.error_kinds import error_line
from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.evaluation.metrics import with_coco
from engine.evaluation.metrics_file import write_metrics
from engine.evaluation.notes import data_notes, id_notes, size_notes
from engine.evaluation.predictions import file_stems, image_ids
from engine.evaluation.settings import ValConfig
from utils.device import GPUS, choose_half
from utils.errors import UserError
from utils.files import atomic_write
from utils.hyperparameters import Hyperparameters
from utils.sizes import whole_side
from utils.structures import Metrics
from utils.tables import area_line, speed_line, text_table
from utils.text import file_name

STUDY_SIZES = range(256, 1536 + 1, 128)  # pixels
MANY_CLASSES = 50  # from here on the table has a row for each class only with --verbose
# The columns of losses in YOLOv5's study files, which stay 0 since --task study computes none.
STUDY_LOSSES = (0.0, 0.0, 0.0)
StudyRow = tuple[float, float, float, float]  # imgsz, milliseconds per image, mAP50-95, mAP50


@dataclass(frozen=True)
class ValidationTask:
    """The inputs of one validation.

    Attributes:
        config: The flags.
        model: The detector.
        label: The name of the weights in tables and files.
        index: The labelled images.
        folder: The run's folder.
        notes: What a reader of the scores must know about classes.
        split: The name of the split.
    """

    config: ValConfig
    model: DetectorModel
    label: str
    index: DatasetIndex
    folder: Path
    notes: tuple[str, ...] = ()
    split: str = "val"

    @property
    def precision(self) -> str:
        """The precision of the forward pass, that of the weights after in_half()."""
        return choose_half(device_of(self.model)) if self.config.half else "fp32"


def make_loader(task: ValidationTask, imgsz: int, square: bool = False) -> Loader:
    """Make a loader of validation batches, in the order of the data set.

    As in YOLOv5, images of similar proportions form a batch. Their frame is half a stride larger
    than the images before it is rounded up to whole strides.

    Args:
        task: The model, images and flags.
        imgsz: Longer side of the images in pixels, rounded up to a multiple of the stride.
        square: Pad every image to imgsz x imgsz instead, which a file of fixed size needs anyway.
    """
    square = square or fixed_size(task.model) is not None
    stride = int(task.model.stride.max())
    fitting = whole_side(imgsz, stride)
    settings = DatasetSettings(
        imgsz=fitting, stride=stride, augment=False, hyp=Hyperparameters(), rect=not square,
        batch_size=task.config.batch_size, pad=0.0 if square else 0.5, seed=0, cache="no",
        channels=image_channels(task.model),
    )  # fmt: skip
    device = device_of(task.model).type
    workers = choose_workers(task.config.workers, device, task.config.batch_size)
    return build_loader(task.index, settings, workers=workers, pin_memory=device in GPUS)


def eval_settings(config: ValConfig, precision: str = "fp32") -> EvalSettings:
    """The settings of evaluate() that the flags determine."""
    return EvalSettings(
        conf=config.conf_thres,
        iou=config.iou_thres,
        max_det=config.max_det,
        protocol=config.protocol,
        single_cls=config.single_cls,
        augment=config.augment,
        precision=precision,
        verbose=config.verbose,
        save_txt=config.save_txt or config.save_hybrid,
        save_hybrid=config.save_hybrid,
        save_conf=config.save_conf,
        plots=not config.noplots,
    )


def score(task: ValidationTask) -> Metrics:
    """--task train, val or test: print the table, and write charts and files of one evaluation.

    Raises UserError after the last line if some label files could not be written.
    """
    config, loader = task.config, make_loader(task, task.config.imgsz)
    measures_area = find_spec("faster_coco_eval") is not None
    # The check comes before the evaluation, which may take an hour.
    if config.save_json and not measures_area:
        raise UserError(
            "--save-json: COCO's protocol needs faster-coco-eval; pip install faster-coco-eval"
        )
    # As in YOLOv5, COCO's own data set gets the JSON file even without --save-json.
    writes_json = config.save_json or config.data.endswith("coco.yaml")
    info = read_dataset_yaml(config.data)
    ids = find_ids(info, task.split, task.index) if writes_json else None
    settings = dataclasses.replace(
        eval_settings(config, task.precision),
        save_dir=task.folder,
        json_name=f"{file_name(task.label)}_predictions.json" if writes_json else "",
        verbose=config.verbose or len(task.index.names) < MANY_CLASSES,
        area=measures_area and ids is None,
        errors=True,
        coco_categories=is_coco(task.index),
        ids=ids,
        names=dict(task.index.names),
    )
    notes = (
        *size_notes(config.imgsz, whole_side(config.imgsz, int(task.model.stride.max()))),
        *channel_notes(image_channels(task.model), info.channels, config.data),
        *([loader.note] if loader.note else ()),
    )
    for note in notes:
        print(f"note: {note}")
    metrics = evaluate(task.model, loader, settings)
    if ids is not None and measures_area:
        metrics = with_coco(metrics, score_file(task.folder / settings.json_name, ids.truth))
    notes = (
        *data_notes(task.index, task.split),
        *metrics.notes,
        *_id_notes(task.index, settings),
        *task.notes,
        *notes,
    )
    metrics = dataclasses.replace(metrics, notes=notes)
    print_scores(metrics, settings)
    write_curves(task.folder, metrics)
    circumstances = {
        "weights": list(config.weights),
        "data": config.data,
        "split": task.split,
        "imgsz": config.imgsz,
    }
    write_metrics(task.folder, metrics, circumstances)
    settings.unwritten.report()
    return metrics


def _id_notes(index: DatasetIndex, settings: EvalSettings) -> list[str]:
    """Sentences on the ids in the JSON file of the detections, if it was written."""
    if not settings.json_name:
        return []
    paths = [index.path(number) for number in range(len(index))]
    keys = settings.ids.images if settings.ids else image_ids(file_stems(paths))
    categories = settings.ids.categories if settings.ids else range(len(index.names))
    names = zip(index.names.values(), categories, strict=True)
    return id_notes(settings.json_name, keys, [name for name, key in names if key is None])


def print_scores(metrics: Metrics, settings: EvalSettings) -> None:
    """Print what follows the table: AP by object size, speed, COCO's figures, notes, the folder."""
    if settings.protocol == "yolov8":
        print(
            "mAP by YOLOv8's protocol; do not compare it with YOLOv5's, which is higher where"
            " recall is low"
        )
    print(
        area_line(metrics) if metrics.coco else "AP by size of object: pip install faster-coco-eval"
    )
    print(error_line(metrics.details.errors))
    print(speed_line(metrics.speed_ms, metrics.details.input_shape))
    folder = settings.save_dir or Path()
    if settings.json_name and metrics.coco:
        print(f"COCO's protocol on {folder / settings.json_name}:")
        rows = [(name, round(value, 4)) for name, value in metrics.coco.items()]
        print(text_table(("figure", "value"), rows))
    labels = f", detections to {folder / 'labels'}" if settings.save_txt else ""
    print_notes(metrics)
    print(f"Results saved to {folder}{labels}")


def print_notes(metrics: Metrics) -> None:
    """Print what a reader of the figures must know."""
    for note in metrics.notes:
        print(f"note: {note}")


def is_coco(index: DatasetIndex) -> bool:
    """Whether these are COCO's own validation images, by their folder.

    Their result files use COCO's category numbers, which run from 1 to 90 with gaps.
    """
    return len(index) > 0 and Path(index.path(0)).parent.as_posix().endswith("coco/images/val2017")


def measure_speed(task: ValidationTask) -> Metrics:
    """--task speed: evaluate square images with detect.py's thresholds and without charts."""
    loader = make_loader(task, task.config.imgsz, square=True)
    settings = dataclasses.replace(
        eval_settings(task.config, task.precision),
        conf=0.25,
        iou=task.model.family.detection_iou,
        plots=False,
    )
    metrics = evaluate(task.model, loader, settings)
    print_notes(metrics)
    print(f"{task.label}: {speed_line(metrics.speed_ms, metrics.details.input_shape)}")
    return metrics


def study_sizes(task: ValidationTask, sizes: Sequence[int]) -> list[StudyRow]:
    """--task study: score at each size (pixels), and write study_DATA_WEIGHTS.txt.

    The returned rows are drawn as a chart.
    """
    lines, rows = [], []
    settings = dataclasses.replace(eval_settings(task.config, task.precision), plots=False)
    for imgsz in sizes:
        print(f"{task.label} at {imgsz} pixels")
        metrics = evaluate(task.model, make_loader(task, imgsz), settings)
        print_notes(metrics)
        scores = (metrics.precision, metrics.recall, metrics.map50, metrics.map, *STUDY_LOSSES)
        values = (*scores, *metrics.speed_ms.values())
        lines.append("".join(f"{value:>10.4g} " for value in values).rstrip() + "\n")
        rows.append((float(imgsz), sum(metrics.speed_ms.values()), metrics.map, metrics.map50))
    name = file_name(f"study_{Path(task.config.data).stem}_{task.label}") + ".txt"
    with atomic_write(task.folder / name, "w") as file:
        file.writelines(lines)
    return rows


def task_labels(files: Sequence[str]) -> list[str]:
    """Name weights by their stems, prefixed with their run's name if any stems are equal."""
    stems = [Path(file).stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    runs = [Path(file).resolve().parent.parent.name for file in files]
    return file_stems([f"{run}_{stem}" for run, stem in zip(runs, stems, strict=True)])
