"""Configuration: YOLOv5's names and defaults, refusals by flag and value, derived figures."""

from __future__ import annotations

import dataclasses
import math

import pytest

from utils.cli import names_of, read_flags
from utils.config import TrainConfig, choose_config
from utils.errors import UserError
from utils.families import V5, V8
from utils.hyperparameters import Hyperparameters
from utils.train_line import REFUSED_TRAIN_FLAGS

# YOLOv5's train.py: flag -> default, where ours is the same
YOLOV5_DEFAULTS = {
    "cfg": "",
    "epochs": 100,
    "batch_size": 16,
    "imgsz": 640,
    "rect": False,
    "nosave": False,
    "noval": False,
    "noautoanchor": False,
    "noplots": False,
    "image_weights": False,
    "device": "",
    "multi_scale": False,
    "single_cls": False,
    "optimizer": "SGD",
    "sync_bn": False,
    "workers": 8,
    "project": "runs/train",
    "name": "exp",
    "exist_ok": False,
    "cos_lr": False,
    "label_smoothing": 0.0,
    "patience": 100,
    "freeze": (0,),
    "save_period": -1,
    "seed": 0,
}
YOLOV5_OTHER = {
    "weights",
    "data",
    "hyp",
    "resume",
    "cache",
}  # ours has another default, for want of downloads
YOLOV5_ABSENT = {
    "evolve",
    "evolve-population",
    "resume-evolve",
    "bucket",
    "quad",
    "local-rank",
    "entity",
    "upload-dataset",
    "bbox-interval",
    "artifact-alias",
}


def test_every_flag_of_yolov5_is_there_or_refused():
    flags = {
        name.removeprefix("--")
        for field in dataclasses.fields(TrainConfig)
        for name in names_of(field)
    }
    wanted = set(YOLOV5_DEFAULTS) | YOLOV5_OTHER | {"img", "img-size"}
    assert wanted <= flags
    assert {f"--{name}" for name in YOLOV5_ABSENT} == set(REFUSED_TRAIN_FLAGS)


def test_defaults_are_yolov5s():
    values = dataclasses.asdict(TrainConfig())
    assert values.pop("workers") is None  # it depends on the cores, not on the number 8 alone
    values["workers"] = YOLOV5_DEFAULTS["workers"]
    assert {name: values[name] for name in YOLOV5_DEFAULTS} == YOLOV5_DEFAULTS


@pytest.mark.parametrize("name", sorted(YOLOV5_ABSENT))
def test_refused_flags_say_what_to_do_instead(name):
    for spelling in (f"--{name}", "--" + name.replace("-", "_")):
        with pytest.raises(UserError, match=rf"^{spelling}: .*\w+"):
            read_flags(TrainConfig, [spelling], "", REFUSED_TRAIN_FLAGS)


@pytest.mark.parametrize(("field", "value", "named"), [
    ("epochs", 0, "--epochs=0"),
    ("batch_size", 0, "--batch-size=0"),
    ("batch_size", -2, "--batch-size=-2"),
    ("imgsz", 16, "--imgsz=16"),
    ("workers", -1, "--workers=-1"),
    ("label_smoothing", 1.0, r"--label-smoothing=1\.0"),
    ("label_smoothing", float("nan"), "--label-smoothing=nan"),
    ("patience", -1, "--patience=-1"),
    ("close_mosaic", -3, "--close-mosaic=-3"),
    ("freeze", (3, -1), "--freeze"),
    ("seed", -1, "--seed=-1"),
    ("attention_lr", 0.0, r"--attention-lr=0\.0"),
    ("attention_lr", math.inf, "--attention-lr=inf"),
])  # fmt: skip
def test_impossible_flags_are_refused_by_name(field, value, named):
    with pytest.raises(UserError, match=named):
        TrainConfig(**{field: value})


def test_image_weights_and_rect_exclude_each_other():
    with pytest.raises(UserError, match=r"--image-weights.*--rect"):
        TrainConfig(rect=True, image_weights=True)


def test_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hyperparameters().lr0 = 0.1


@pytest.mark.parametrize(
    ("batch", "nominal", "steps", "decay"),
    [
        (16, 64, 4, 0.0005),
        (64, 64, 1, 0.0005),
        (128, 64, 1, 0.001),
        (40, 64, 2, 0.000625),
        (1, 64, 64, 0.0005),
        (16, 16, 1, 0.0005),
    ],
)
def test_accumulation_and_weight_decay(batch, nominal, steps, decay):
    config, hyp = TrainConfig(batch_size=batch), Hyperparameters(nominal_batch=nominal)
    assert config.accumulate(nominal) == steps
    assert config.scaled_weight_decay(hyp) == pytest.approx(decay, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "rows"),
    [((), ()), ((0,), ()), ((3,), (0, 1, 2)), ((0, 1), (0, 1)), ((5, 7, 9), (5, 7, 9))],
)
def test_freeze_takes_a_count_or_numbers(given, rows):
    assert TrainConfig(freeze=given).frozen_rows() == rows


def choose(given=None, defaults=None, family=V8):
    return choose_config(given or {}, defaults or {}, family, "data.yaml: defaults")


def test_families_have_their_own_defaults():
    config, hyp = choose()
    assert (config.optimizer, config.close_mosaic, hyp) == (
        "auto",
        10,
        Hyperparameters.load("hyp.v8.yaml"),
    )
    assert choose(family=V5) == (TrainConfig(), Hyperparameters())


def test_given_goes_before_suggested_before_the_familys_before_the_general():
    defaults = {"epochs": 7, "imgsz": 320, "optimizer": "Adam", "hyp": {"box": 0.1},
                "v8": {"imgsz": 160, "close_mosaic": 3, "hyp": {"lr0": 0.5}}}  # fmt: skip
    config, hyp = choose({"imgsz": 96}, defaults)
    assert (config.epochs, config.imgsz, config.optimizer, config.close_mosaic) == (
        7,
        96,
        "Adam",
        3,
    )
    assert (hyp.box, hyp.lr0) == (7.5, 0.5)  # the general hyp is for graphs with anchors
    config, hyp = choose({}, defaults, V5)
    assert (config.epochs, config.imgsz, config.optimizer, config.close_mosaic) == (
        7,
        320,
        "Adam",
        0,
    )
    assert (hyp.box, hyp.lr0) == (0.1, 0.01)
    assert choose({"optimizer": "SGD"}, {"v8": {"optimizer": "AdamW"}})[0].optimizer == "SGD"


def test_a_hyp_file_lies_over_the_familys(tmp_path):
    (tmp_path / "mine.yaml").write_text("lr0: 0.2\n")
    path = str(tmp_path / "mine.yaml")
    assert choose({"hyp": path})[1] == dataclasses.replace(
        Hyperparameters.load("hyp.v8.yaml"), lr0=0.2
    )
    assert choose({"hyp": path}, family=V5)[1] == Hyperparameters(lr0=0.2)
    assert choose({}, {"v8": {"hyp": path}})[1].lr0 == 0.2


@pytest.mark.parametrize(("defaults", "message"), [
    ({"v8": [1]}, r"data\.yaml: defaults: v8: \[1\] is not a mapping"),
    ({"v8": {"epoch": 1}}, r"data\.yaml: defaults: epoch: no such setting"),
    ({"v8": {"hyp": {"lr": 1}}}, r"data\.yaml: defaults: hyp: lr: no such hyperparameter"),
    ({"v8": {"hyp": [1]}}, r"data\.yaml: defaults: hyp: \[1\] is neither a file nor a mapping"),
])  # fmt: skip
def test_bad_suggestions_for_v8_name_their_file(defaults, message):
    with pytest.raises(UserError, match=message):
        choose({}, defaults)
