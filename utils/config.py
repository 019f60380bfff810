"""The configuration of training: a frozen value, made once of flags and YAML, saved with the run.

TrainConfig's fields have YOLOv5's flag names, so one table defines what users type and what the
program reads. Derived values come from methods. A setting is what the user gave, else what the data
set suggests, else the default of the graph's family, else the general default.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from utils.cli import build, flag
from utils.errors import UserError, check_setting
from utils.families import FAMILIES, Family
from utils.files import find_file
from utils.flags import shared
from utils.hyperparameters import Hyperparameters
from utils.sizes import LONGEST_SIDE
from utils.text import shown
from utils.yaml_file import load_yaml

__all__ = [
    "Hyperparameters",
    "TrainConfig",
    "choose_config",
    "choose_hyp",
    "suggestions",
]
NOT_HERE = "is not part of this project"


@dataclass(frozen=True)
class TrainConfig:
    """All flags of train.py. An impossible value raises UserError with the flag's name."""

    weights: str = flag("", "checkpoint to start from; '' trains from scratch")
    cfg: str = flag("", "model YAML, such as models/yolov5s_SimAM.yaml or models/yolov8n.yaml")
    scale: str = flag(
        "", "size of a graph that has several (n, s, m, l, x); '' takes it from the file's name"
    )
    data: str = flag("data/shapes.yaml", "data set YAML; the default is generated on first use")
    hyp: str = flag(
        "",
        "hyperparameter YAML; '' takes the data set's suggestion, else"
        " data/hyps/hyp.scratch-low.yaml, for graphs without anchors data/hyps/hyp.v8.yaml",
    )
    epochs: int = flag(100, "number of passes over the training images")
    batch_size: int = flag(
        16,
        "images per batch, over all devices; -1 finds a size that fits (CUDA)",
        aliases=("--batch",),
    )
    imgsz: int = flag(
        640, "side of the training and validation images, pixels", aliases=("--img", "--img-size")
    )
    rect: bool = flag(False, "batches of similar aspect ratio instead of squares")
    resume: str = flag(
        "",
        "continue an interrupted run: its last.pt, or nothing for the newest",
        nargs="?",
        const="newest",
    )
    nosave: bool = flag(False, "write only the final checkpoint")
    noval: bool = flag(False, "validate only after the final epoch")
    noautoanchor: bool = flag(False, "keep the anchors, however badly they fit")
    noplots: bool = shared("noplots")
    cache: str = shared("cache")
    mosaic_pool: str = shared("mosaic_pool")
    image_weights: bool = flag(False, "draw images of badly detected classes more often")
    device: str = shared("device", help="CUDA device such as 0 or 0,1, cpu, mps or xpu; '' chooses")
    multi_scale: bool = flag(False, "vary the image size by up to half in either direction")
    single_cls: bool = shared("single_cls")
    optimizer: str = flag(
        "SGD",
        "optimizer; auto, the default of graphs without anchors, is AdamW for short runs",
        choices=("auto", "SGD", "Adam", "AdamW"),
    )
    sync_bn: bool = flag(False, "synchronise batch norm over devices (torchrun)")
    workers: int | None = shared("workers")
    project: str = shared("project", "runs/train")
    name: str = shared("name", help="name of this run; cfg takes the model's name")
    exist_ok: bool = shared("exist_ok")
    cos_lr: bool = flag(False, "cosine instead of linear decay of the learning rate")
    label_smoothing: float = flag(0.0, "epsilon of label smoothing")
    patience: int = flag(100, "stop after so many epochs without a better fitness; 0 never does")
    freeze: tuple[int, ...] = flag([0], "first N rows to freeze, or the rows' numbers")
    save_period: int = flag(-1, "also keep a checkpoint every N epochs")
    attention: tuple[str, ...] = flag(
        (),
        "modules to insert into the graph, such as SimAM@neck CBAM@backbone.P5; places: "
        "python models/yolo.py --cfg FILE --sites",
        kind=str,
        nargs="+",
    )
    attention_init: str = flag(
        "",
        "how attention modules start, those of --attention if given, else all: identity leaves the"
        " output unchanged at first; '' takes the graph's setting",
        choices=("", "paper", "identity"),
    )
    attention_lr: float = flag(
        1.0,
        "learning rate of attention modules as a multiple of that of the other rows; weight decay"
        " and --sparsity act at that rate too",
    )
    modules: tuple[str, ...] = shared("modules")
    sparsity: float = flag(
        0.0, "NAM: weight p of the penalty on its scale factors; the authors take 1e-4"
    )
    seed: int = flag(0, "seed of weights, order and augmentation")
    precision: str = flag(
        "auto",
        "arithmetic of the forward pass; auto takes bf16 or fp16 where it is fast",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    tf32: bool = shared("tf32")
    close_mosaic: int = flag(
        0, "train the last N epochs without mosaic and mixup; 10 for graphs without anchors"
    )
    protocol: str = shared("protocol")
    compile: bool = flag(False, "compile the model with torch.compile first")
    verbose: bool = flag(False, "print the per-class table after each epoch")

    def __post_init__(self) -> None:
        check_setting(self.epochs >= 1, "--epochs", self.epochs, "must be at least 1")
        possible = self.batch_size >= 1 or self.batch_size == -1
        check_setting(possible, "--batch-size", self.batch_size, "must be 1 or more, or -1")
        possible = 32 <= self.imgsz <= LONGEST_SIDE
        check_setting(possible, "--imgsz", self.imgsz, f"must be 32 to {LONGEST_SIDE} pixels")
        check_setting((self.workers or 0) >= 0, "--workers", self.workers, "must not be negative")
        check_setting(
            0 <= self.label_smoothing < 1,
            "--label-smoothing",
            self.label_smoothing,
            "must be at least 0 and below 1",
        )
        check_setting(
            self.patience >= 0,
            "--patience",
            self.patience,
            "must not be negative; 0 never stops early",
        )
        check_setting(
            self.close_mosaic >= 0, "--close-mosaic", self.close_mosaic, "must not be negative"
        )
        check_setting(
            all(0 <= row <= 10_000 for row in self.freeze),
            "--freeze",
            self.freeze,
            "takes row numbers, 0 to 10000",
        )
        check_setting(
            0 <= self.sparsity < math.inf, "--sparsity", self.sparsity, "must be 0 or more"
        )
        check_setting(
            0 < self.attention_lr < math.inf, "--attention-lr", self.attention_lr, "must be above 0"
        )
        check_setting(self.seed >= 0, "--seed", self.seed, "must not be negative")
        check_setting(
            not (self.rect and self.image_weights),
            "--image-weights",
            True,
            "cannot be combined with --rect",
        )

    def plain(self) -> dict[str, object]:
        """The fields as YAML and checkpoints hold them."""
        values = dataclasses.asdict(self)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }

    def accumulate(self, nominal_batch: int) -> int:
        """How many batches' gradients are accumulated for one optimizer step."""
        # A batch larger than the nominal one still makes one step.
        return max(round(nominal_batch / self.batch_size), 1)

    def scaled_weight_decay(self, hyp: Hyperparameters) -> float:
        """Weight decay times the images of an optimizer step, divided by the nominal batch."""
        return (
            hyp.weight_decay
            * self.batch_size
            * self.accumulate(hyp.nominal_batch)
            / hyp.nominal_batch
        )

    def frozen_rows(self) -> tuple[int, ...]:
        """The numbers of the rows to freeze; a single number N means the first N."""
        return tuple(range(self.freeze[0])) if len(self.freeze) == 1 else self.freeze


def suggestions(defaults: Mapping[str, object], family: Family, origin: str) -> dict[str, object]:
    """What a data set suggests for a family: its `defaults`, overridden by the family's section.

    Args:
        defaults: The data set's `defaults`, which may hold a section for a family.
        family: The graph's family.
        origin: Where `defaults` is written, for errors.

    Returns:
        Field of TrainConfig -> value; `hyp` is a file or a mapping.

    Raises:
        UserError: A section is not a mapping.
    """
    names = [one.section for one in FAMILIES if one.section]
    sections = {name: _section(defaults, name, origin) for name in names}
    general = {key: value for key, value in defaults.items() if key not in sections}
    if not family.section:
        return general
    general.pop("hyp", None)  # its gains are those of graphs with anchors
    return {**general, **sections[family.section]}


def _section(defaults: Mapping[str, object], name: str, origin: str) -> Mapping[str, object]:
    """The section of `defaults` for one family; {} if there is none."""
    section = defaults.get(name) or {}
    if not isinstance(section, dict):
        raise UserError(
            f"{origin}: {name}: {shown(section)} is not a mapping; write e.g. `{name}:"
            " {epochs: 50}`"
        )
    return section


def choose_config(
    given: Mapping[str, object], defaults: Mapping[str, object], family: Family, origin: str
) -> tuple[TrainConfig, Hyperparameters]:
    """Choose the settings of a run.

    Args:
        given: Field of TrainConfig -> value, as the user gave them.
        defaults: The data set's `defaults`.
        family: The graph's family.
        origin: Where `defaults` is written, for errors.

    Raises:
        UserError: A setting is unknown, or its value is impossible.
    """
    suggested = suggestions(defaults, family, origin)
    check_setting(
        "modules" not in suggested,
        f"{origin}: modules",
        suggested.get("modules"),
        "no file may name code to import; give it as --modules",
    )
    wanted = suggested.pop("hyp", {})
    # Built alone first, so that the error for a mistake in the data set's file names that file.
    build(TrainConfig, suggested, origin)
    config = build(TrainConfig, {**family.flags, **suggested, **given})
    return config, choose_hyp(config.hyp, wanted, f"{origin}: hyp", family)


def choose_hyp(file: str, suggested: object, origin: str, family: Family) -> Hyperparameters:
    """Choose the hyperparameters; those that are not given have the family's standard values.

    Args:
        file: The file of --hyp, or "".
        suggested: The data set's suggestion, a file or a mapping; used if there is no --hyp.
        origin: Where the suggestion is written, for errors.
        family: The graph's family.

    Raises:
        UserError: A file is missing, or a hyperparameter is unknown or impossible.
    """
    standard = load_yaml(find_file(family.hyp, "data/hyps"))
    file = file or (suggested if isinstance(suggested, str) else "")
    if file:
        found = find_file(file, "data/hyps")
        return Hyperparameters.from_mapping({**standard, **load_yaml(found)}, str(found))
    if not isinstance(suggested, dict):
        raise UserError(
            f"{origin}: {shown(suggested)} is neither a file nor a mapping; write e.g. `hyp:"
            " {mosaic: 0.5}`"
        )
    return Hyperparameters.from_mapping({**standard, **suggested}, origin)
