"""hubconf.py: through torch.hub, from another folder, with what YOLOv5's users rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import hubconf
from models.yolo import DetectionModel
from tests.api.hub import noise_image
from tests.tiny import lively, write_free_graph, write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.files import ROOT

NAMES = {0: "bright", 1: "dark"}


@pytest.fixture(params=["anchors", "free"])
def weights(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A checkpoint of either family; the working folder is a fresh one."""
    monkeypatch.chdir(tmp_path)
    return write_weights(tmp_path, request.param)


def write_weights(folder: Path, family: str) -> Path:
    """Write the checkpoint FAMILY.pt with lively scores."""
    model = lively((write_graph if family == "anchors" else write_free_graph)(folder), NAMES)
    path = folder / f"{family}.pt"
    checkpoints.save(checkpoints.Checkpoint(model.graph, NAMES, model.state_dict()), path)
    return path


def test_autoshape_is_a_module(weights):
    model = hubconf.custom(weights)
    assert model.eval().to("cpu") is model
    assert model.names == NAMES
    raw = hubconf.custom(weights, autoshape=False)
    assert isinstance(raw, DetectionModel)


def test_named_models(weights, capsys):
    model = hubconf.yolov5n(classes=3, autoshape=False)
    assert sum(value.numel() for value in model.parameters()) == 1767976
    assert "yolov5n: random weights, nothing is downloaded" in capsys.readouterr().out
    assert hubconf.yolov8n(pretrained=False).names[79] == "79"
    assert capsys.readouterr().out == ""
    assert hubconf.yolov5n(pretrained=weights).names == NAMES
    assert f"%) from {weights}" in capsys.readouterr().out
    with pytest.raises(UserError, match="missing"):
        hubconf.yolov5n(pretrained="missing.pt")


def test_entry_points():
    kinds = ("yolov5", "yolov8", "yolo11", "yolo12")
    names = {f"{kind}{size}" for kind in kinds for size in "nsmlx"}
    assert all("pretrained" in getattr(hubconf, name).__doc__ for name in names)
    assert hubconf.custom.__doc__


def test_through_torch_hub_from_elsewhere(tmp_path):
    """Both families in one process, which takes seconds to start."""
    for family in ("anchors", "free"):
        write_weights(tmp_path, family)
    cv2.imwrite(str(tmp_path / "a.png"), noise_image())
    script = (
        "import torch, numpy as np\n"
        "for path in ('anchors.pt', 'free.pt'):\n"
        f"    model = torch.hub.load({str(ROOT)!r}, 'custom', path=path, source='local')\n"
        "    results = model(np.zeros((64, 64, 3), np.uint8), size=64)\n"
        "    results.print(); results.pandas(); results.save(); model.conf = .1\n"
        f"model = torch.hub.load({str(ROOT)!r}, 'yolov8n', source='local', classes=2)\n"
        "assert len(model('a.png').names) == 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("image 1/1: 64x64") == 2
