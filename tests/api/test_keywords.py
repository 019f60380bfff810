"""Keywords of Python calls become fields; mistakes name the keyword."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from api.keywords import KeywordError, device_text, read_keywords
from engine.evaluation.settings import ValConfig
from engine.export.settings import ExportConfig
from engine.inference.settings import DetectConfig
from utils.cli import build, flag
from utils.errors import UserError


@dataclass(frozen=True)
class Config:
    batch_size: int = flag(16, "")
    imgsz: int = flag(640, "")
    classes: tuple[int, ...] = flag([], "", kind=int)
    cache: str = flag("auto", "", choices=("auto", "ram", "no"))
    device: str = flag("", "")
    nosave: bool = flag(False, "")
    precision: str = flag("auto", "")
    scale: str = flag("", "")
    data: str = flag("", "")


def read(**options):
    return read_keywords(Config, options, "train", ("lr0", "scale"))


@pytest.mark.parametrize(
    ("options", "values", "others"),
    [
        ({"batch": 4}, {"batch_size": 4}, {}),
        ({"batch_size": 4}, {"batch_size": 4}, {}),
        ({"imgsz": [480, 640]}, {"imgsz": 640}, {}),
        ({"classes": 3}, {"classes": (3,)}, {}),
        ({"classes": [1, 2]}, {"classes": (1, 2)}, {}),
        ({"cache": True}, {"cache": "ram"}, {}),
        ({"cache": False}, {"cache": "no"}, {}),
        ({"device": [0, 1]}, {"device": "0,1"}, {}),
        ({"device": 0}, {"device": "0"}, {}),
        ({"save": False}, {"nosave": True}, {}),
        ({"save": True}, {"nosave": False}, {}),
        ({"amp": False}, {"precision": "fp32"}, {}),
        ({"data": Path("a") / "b.yaml"}, {"data": str(Path("a") / "b.yaml")}, {}),
        ({"lr0": 0.1}, {}, {"lr0": 0.1}),
        ({"scale": 0.9}, {}, {"scale": 0.9}),  # the augmentation
        ({"scale": "s"}, {"scale": "s"}, {}),  # the size of the graph
        ({"batch": None, "lr0": None, "nonsense": None}, {}, {}),
        ({"deterministic": True, "task": "detect", "mode": "train"}, {}, {}),
    ],
)
def test_keywords_become_fields(options, values, others):
    assert read(**options) == (values, others)
    assert build(Config, values)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bacth": 4}, "train: bacth=4: no such keyword; did you mean batch"),
        ({"lr": 4}, "lr0"),
        ({"zzzzzz": 1}, "known are amp, batch, batch_size, cache, classes"),
        ({"val": True}, "val=True: no such keyword"),  # Config has no noval
        ({"cache": "disc"}, "train: cache='disc': must be one of auto, ram, no"),
        ({"int8": True}, "int8=True: is not part of this project"),
        ({"task": "segment"}, "task='segment': is not part"),
    ],
)
def test_mistakes_name_the_keyword(options, words):
    with pytest.raises(KeywordError) as caught:
        read(**options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("device", "text"), [(None, ""), (0, "0"), ("cpu", "cpu"), ([0, 1], "0,1"), ((2,), "2")]
)
def test_devices(device, text):
    assert device_text(device) == text


@pytest.mark.parametrize(
    ("kind", "call", "name", "remedy"),
    [
        (DetectConfig, "predict", "weights", "YOLO"),
        (DetectConfig, "predict", "data", "leave it out"),
        (ValConfig, "val", "weights", "YOLO"),
        (ExportConfig, "export", "include", "format"),
        (ExportConfig, "export", "weights", "YOLO"),
        (ExportConfig, "export", "save_upstream", "export.py"),
    ],
)
def test_reserved_fields_are_refused_and_not_ignored(
    kind: type, call: str, name: str, remedy: str
) -> None:
    with pytest.raises(KeywordError, match=f"{call}: {name}=.*{remedy}"):
        read_keywords(kind, {name: "x"}, call)
