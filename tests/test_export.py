"""export.py as a command: files beside the checkpoint, mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import export
from engine.export.formats import CONVERTERS, EXPORTERS
from engine.export.settings import REFUSED_EXPORT_FLAGS, ExportConfig
from export import main
from tests.engine.export.detectors import NAMES, detector
from tests.tiny import write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError, run_main


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = detector(write_graph(tmp_path))
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, NAMES, model.state_dict()), tmp_path / "best.pt"
    )
    flags = ["--weights", "best.pt", "--include", "torchscript", "--imgsz", "70"]
    assert main(flags) == [Path("best.torchscript")]
    out = capsys.readouterr().out
    assert "taking 96x96" in out
    assert "best.torchscript: " in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--include", "engine"], "convert one of them with trtexec"),
        (["--include", "coreml"], "coremltools"),
        (["--include", "onyx"], "no such format"),
        (["--imgsz", "8"], "--imgsz"),
        (["--imgsz", "64", "64", "64"], "--imgsz"),
        (["--opset", "12"], "--opset=12"),
        (["--batch", "0"], "--batch-size=0"),
        (["--conf", "2"], "--conf-thres=2"),
        (["--weights", "missing.pt"], "missing.pt"),
        (["--int8"], "--int8: is for --include onnx"),
        (["--int8", "--include", "onnx"], "--int8: needs --data"),
        (["--int8", "--include", "onnx", "--half"], "--half"),
        (["--cache"], "--cache: is not part"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_mistakes_are_one_line(flags, words, capsys):
    assert run_main(main, ["--weights", "x.pt", *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_every_flag_of_yolov5_is_there_or_refused():
    flags = (
        "data weights imgsz batch_size device half inplace keras optimize int8 per_tensor dynamic"
        " cache simplify mlmodel opset verbose workspace nms agnostic_nms topk_per_class topk_all"
        " iou_thres conf_thres include"
    )
    spelled = {
        name
        for field in ExportConfig.__dataclass_fields__.values()
        for name in (f"--{field.name.replace('_', '-')}", *field.metadata.get("aliases", ()))
    }
    missing = (
        {f"--{name.replace('_', '-')}" for name in flags.split()}
        - spelled
        - set(REFUSED_EXPORT_FLAGS)
    )
    assert not missing
    assert not set(EXPORTERS) & set(CONVERTERS)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    import os

    model = detector(write_graph(tmp_path))
    (tmp_path / "best.torchscript").write_bytes(b"old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot be written"):
        export.export(model, ExportConfig(imgsz=(64,)), tmp_path / "best.pt")
    assert (tmp_path / "best.torchscript").read_bytes() == b"old"
    assert not np.any([path.name.startswith(".") for path in tmp_path.iterdir()])
