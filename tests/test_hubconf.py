"""hubconf.py: through torch.hub, from another folder, with what scripts written for YOLOv5's hub
models rely on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import hubconf
from api.hub_results import HubResults
from models.yolo import DetectionModel
from tests.tiny import lively, write_free_graph, write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.files import ROOT

NAMES = {0: "bright", 1: "dark"}


def noise_image(height: int = 60, width: int = 90) -> np.ndarray:
    """RGB noise."""
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(params=["anchors", "free"])
def weights(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A checkpoint of either family with lively scores; the working folder is a fresh one."""
    monkeypatch.chdir(tmp_path)
    graph = write_graph(tmp_path) if request.param == "anchors" else write_free_graph(tmp_path)
    model = lively(graph, NAMES)
    path = tmp_path / "w.pt"
    checkpoints.save(checkpoints.Checkpoint(model.graph, NAMES, model.state_dict()), path)
    return path


@pytest.fixture
def results(weights: Path) -> HubResults:
    model = hubconf.custom(weights)
    model.conf = 0.3
    return model([noise_image(), noise_image(80, 60)], size=64)


def test_forms_agree(results):
    assert len(results) == results.n == 2
    for number, (height, width) in enumerate([(60, 90), (80, 60)]):
        rows = results.xyxy[number]
        assert rows.shape[1] == 6
        assert len(rows) > 0
        sides = torch.tensor([width, height, width, height])
        torch.testing.assert_close(results.xyxyn[number][:, :4] * sides, rows[:, :4])
        centre, size = results.xywh[number][:, :2], results.xywh[number][:, 2:4]
        torch.testing.assert_close(
            torch.cat((centre - size / 2, centre + size / 2), 1), rows[:, :4]
        )
        torch.testing.assert_close(
            results.xywhn[number][:, :4] * sides, results.xywh[number][:, :4]
        )
        assert torch.equal(results.xywhn[number][:, 4:], rows[:, 4:])
    assert results.pred is results.xyxy


def test_tables(results):
    tables = results.pandas()
    table = tables.xyxy[0]
    assert list(table.columns) == ["xmin", "ymin", "xmax", "ymax", "confidence", "class", "name"]
    assert list(tables.xywhn[0].columns)[:4] == ["xcenter", "ycenter", "width", "height"]
    rows = results.xyxy[0]
    assert np.allclose(
        table[["xmin", "ymin", "xmax", "ymax", "confidence"]].to_numpy(), rows[:, :5].numpy()
    )
    assert table["class"].tolist() == rows[:, 5].long().tolist()
    assert table["name"].tolist() == [NAMES[int(number)] for number in rows[:, 5]]
    assert len(tables.xyxy) == 2


def test_output(results, tmp_path, capsys):
    results.print()
    out = capsys.readouterr().out
    assert out == f"{results}\n"
    assert out.startswith("image 1/2: 60x90 ")
    assert "Speed: " in out
    assert results.save(save_dir="out/a") == Path("out/a")
    assert sorted(path.name for path in Path("out/a").iterdir()) == ["image0.jpg", "image1.jpg"]
    crops = results.crop(save_dir="out/b")
    assert (
        len(crops) == sum(map(len, results.xyxy)) == len(list(Path("out/b/crops").rglob("*.jpg")))
    )
    assert set(crops[0]) == {"box", "conf", "cls", "label", "im"}
    assert len(results.crop(save=False)) == len(crops)
    results.show()


def test_render_is_rgb(results):
    assert np.array_equal(results.ims[0], noise_image())
    drawn = results.render()
    assert drawn[0] is results.ims[0]
    assert (drawn[0] != noise_image()).any()


def test_lists(results):
    parts = results.tolist()
    assert [part.n for part in parts] == [1, 1]
    assert torch.equal(parts[1].xyxy[0], results.xyxy[1])
    assert [part.n for part in results] == [1, 1]


def test_settings_work(weights):
    model = hubconf.custom(weights, device="cpu")
    image = noise_image()
    model.conf, model.iou = 0.2, 0.9
    many = model(image, size=64).xyxy[0]
    model.max_det = 3
    assert torch.equal(model(image, size=64).xyxy[0], many[:3])
    model.max_det, model.classes = 1000, [1]
    assert set(model(image, size=64).xyxy[0][:, 5].tolist()) <= {1.0}
    model.classes, model.conf = None, 0.999999
    assert len(model(image, size=64).xyxy[0]) == 0
    model.conf, model.multi_label = 0.05, True
    several = model(image, size=64).xyxy[0]
    model.multi_label = False
    assert len(several) > len(model(image, size=64).xyxy[0])
    model.conf, model.iou = 0.2, 0.1
    model.agnostic = True
    assert len(model(image, size=64).xyxy[0]) <= len(many)
    model.conf = 2.0
    with pytest.raises(UserError, match="conf"):
        model(image)


def test_all_sources_are_rgb(weights):
    from PIL import Image

    model = hubconf.custom(weights)
    model.conf = 0.3
    image = noise_image()
    cv2.imwrite("a.png", np.ascontiguousarray(image[..., ::-1]))
    first = model(image, size=64).xyxy[0]
    assert len(first) > 0
    for source in (
        "a.png",
        Path("a.png"),
        Image.fromarray(image),
        [image],
        ["a.png"],
        image.transpose(2, 0, 1),
    ):
        found = model(source, size=64)
        assert torch.equal(found.xyxy[0], first)
        assert np.array_equal(found.ims[0], image)
    Path("bad.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"bad\.png: nothing could be read"):
        model("bad.png")


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


@pytest.mark.parametrize(
    ("size", "words"),
    [("a", "imgsz: 'a'"), ((64, "a"), "imgsz: 'a'"), (8, "imgsz"), (None, "imgsz")],
)
def test_impossible_sizes_are_one_line(weights, size, words):
    with pytest.raises(UserError, match=words):
        hubconf.custom(weights)(np.zeros((8, 8, 3), np.uint8), size=size)


def test_entry_points():
    names = {f"{kind}{size}" for kind in ("yolov5", "yolov8", "yolo11") for size in "nsmlx"}
    assert all("pretrained" in getattr(hubconf, name).__doc__ for name in names)
    assert hubconf.custom.__doc__


def test_through_torch_hub_from_elsewhere(weights, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), noise_image())
    script = (
        "import torch, numpy as np\n"
        f"model = torch.hub.load({str(ROOT)!r}, 'custom', path='w.pt', source='local')\n"
        "results = model(np.zeros((64, 64, 3), np.uint8), size=64)\n"
        "results.print(); results.pandas(); results.save(); model.conf = .1\n"
        f"model = torch.hub.load({str(ROOT)!r}, 'yolov8n', source='local', classes=2)\n"
        "assert len(model('a.png').names) == 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "image 1/1: 64x64" in done.stdout
