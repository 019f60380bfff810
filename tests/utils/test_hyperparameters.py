"""Hyperparameters: the files of data/hyps, and refusals that name file, row and value."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.families import V5, V8
from utils.files import ROOT
from utils.hyperparameters import Hyperparameters

HYP_FILES = sorted(path.name for path in (ROOT / "data/hyps").glob("*.yaml"))


@pytest.mark.parametrize("name", HYP_FILES)
def test_every_hyp_file_loads(name):
    hyp = Hyperparameters.load(name)
    assert hyp.lr0 > 0
    assert Hyperparameters.load(ROOT / "data/hyps" / name) == hyp


def test_hyp_files_are_yolov5s_six_yolov8s_and_three_of_ours():
    assert HYP_FILES == [
        "hyp.Objects365.yaml",
        "hyp.VOC.yaml",
        "hyp.finetune.yaml",
        "hyp.no-augmentation.yaml",
        "hyp.overfit.yaml",
        "hyp.scratch-high.yaml",
        "hyp.scratch-low.yaml",
        "hyp.scratch-med.yaml",
        "hyp.short.yaml",
        "hyp.v8.yaml",
    ]
    assert Hyperparameters.load("hyp.scratch-low.yaml") == Hyperparameters()
    voc, high = Hyperparameters.load("hyp.VOC.yaml"), Hyperparameters.load("hyp.scratch-high.yaml")
    assert (voc.lr0, voc.momentum, voc.anchors, voc.translate, voc.mixup) == (
        0.00334,
        0.74832,
        3.412,
        0.04591,
        0.04266,
    )
    assert (high.cls, high.obj, high.scale, high.mixup, high.copy_paste, high.lrf) == (
        0.3,
        0.7,
        0.9,
        0.1,
        0.1,
        0.1,
    )
    large = Hyperparameters.load("hyp.Objects365.yaml")
    assert (large.lr0, large.warmup_bias_lr, large.box, large.cls_pw) == (
        0.00258,
        0.0711,
        0.0539,
        0.825,
    )


def test_the_v8_file_is_yolov8s():
    """Values that differ from YOLOv5's; all others are the same there too, those of anchors and
    objectness aside.
    """
    wanted = Hyperparameters(box=7.5, cls=0.5, dfl=1.5, warmup_iterations=0, small_side=16.0)
    assert Hyperparameters.load("hyp.v8.yaml") == wanted


def test_gains_of_the_other_family_raise_a_doubt():
    assert "box=0.05" in Hyperparameters().doubts(V8)[0]
    assert "box=7.5" in Hyperparameters(box=7.5).doubts(V5)[0]
    assert Hyperparameters().doubts(V5) == Hyperparameters(box=7.5).doubts(V8) == []


def test_overrides_win_over_the_file():
    assert Hyperparameters.load("hyp.VOC.yaml", {"lr0": 0.5, "nominal_batch": 16}).lr0 == 0.5


@pytest.mark.parametrize(("row", "message"), [
    ("lr0: fast", r"mine\.yaml: lr0='fast': must be a finite number"),
    ("lr0: .nan", r"mine\.yaml: lr0=nan: must be a finite number"),
    ("lr0: .inf", "lr0=inf: must be a finite number"),
    ("lr0: true", "lr0=True: must be a finite number"),
    ("lr0: [0.1]", r"lr0=\[0\.1\]: must be a finite number"),
    ("lr0: ", "lr0=None: must be a finite number"),
    ("lr0: 0", "lr0=0: must be above 0"),
    ("box: -1", "box=-1: must not be negative"),
    ("mosaic: 1.5", r"mosaic=1\.5: is a probability"),
    ("momentum: 1.0", r"momentum=1\.0: must be below 1"),
    ("anchor_t: 1", "anchor_t=1: is a ratio"),
    ("learning_rate: 0.1", r"mine\.yaml: learning_rate: no such hyperparameter; known are .*lr0"),
    ("3: 0.1", "3: no such hyperparameter"),
])  # fmt: skip
def test_bad_hyperparameters_name_file_row_and_value(tmp_path, row, message):
    (tmp_path / "mine.yaml").write_text(row + "\n")
    with pytest.raises(UserError, match=message):
        Hyperparameters.load(tmp_path / "mine.yaml")


def test_numbers_that_yaml_reads_as_text_are_read_as_numbers(tmp_path):
    (tmp_path / "mine.yaml").write_text("lr0: 1e-3\nbox: '0.1'\n")
    hyp = Hyperparameters.load(tmp_path / "mine.yaml")
    assert (hyp.lr0, hyp.box) == (0.001, 0.1)
