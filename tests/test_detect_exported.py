"""detect.py, api/ and hubconf.py take exported files."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

import ablate
import benchmarks
import detect
import explain
import export
import hubconf
import train
from api import YOLO
from tests.engine.exported.files import NAMES, write_onnx
from tests.tiny import write_data
from utils.errors import UserError, run_main


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Black, twice as wide as high: in 96 x 96 it has a border of 24 rows above and below."""
    path = tmp_path / "black.png"
    cv2.imwrite(str(path), np.zeros((96, 192, 3), np.uint8))
    return path


def test_boxes_of_a_fixed_size_are_in_pixels_of_the_image(tmp_path, image):
    weights = write_onnx(tmp_path / "best.onnx", shape=(1, 3, 96, 96))
    words = f"--weights {weights} --source {image} --save-txt --nosave --project {tmp_path / 'out'}"
    folder = detect.main([*words.split(), "--device", "cpu", "--half"])
    rows = np.loadtxt(folder / "labels" / "black.txt", ndmin=2)
    # x 22 to 42 of the input is 44 to 84 of the image; y 17 to 47 is cut at the border, 0 to 46.
    red = rows[rows[:, 0] == 0][0, 1:]
    np.testing.assert_allclose(red, [64 / 192, 23 / 96, 40 / 192, 46 / 96], atol=0.02)


def test_python_and_hub_find_the_same(tmp_path, image):
    weights = write_onnx(tmp_path / "best.onnx", shape=(1, 3, 96, 96))
    model = YOLO(weights)
    assert model.names == NAMES
    (result,) = model(image, verbose=False)
    assert sorted(result.boxes.cls.tolist()) == [0, 1]
    hub = hubconf.custom(weights, device="cpu")(str(image))
    assert len(hub.xyxy[0]) == 2


def test_python_says_that_a_fixed_size_holds(tmp_path, image, capsys):
    YOLO(write_onnx(tmp_path / "best.onnx", shape=(1, 3, 96, 96)))(image, imgsz=64)
    assert "the file takes images of 96x96 only: taking that" in capsys.readouterr().out


@pytest.mark.parametrize("call", ["train", "export", "info", "fuse", "load", "explain"])
def test_calls_that_need_a_network_say_so(tmp_path, call):
    model = YOLO(write_onnx(tmp_path / "best.onnx"))
    with pytest.raises(UserError, match=rf"{call}: .*best\.onnx is an exported file"):
        getattr(model, call)(*(["best.pt"] if call in ("load", "explain") else []))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (ablate.main, "--data small.yaml --attention SimAM --weights best.onnx"),
        (benchmarks.main, "--weights best.onnx"),
        (explain.main, "--weights best.onnx --source black.png"),
        (export.main, "--weights best_openvino_model"),
        (train.main, "--data small.yaml --weights best.torchscript"),
    ],
)
def test_programs_that_need_a_checkpoint_say_so(
    program, words, tmp_path, image, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_onnx(tmp_path / "best.onnx")
    (tmp_path / "best_openvino_model").mkdir()
    write_data(tmp_path, train=1, val=1).rename("small.yaml")
    assert run_main(functools.partial(program), words.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is an exported file, which only val.py and detect.py read; give the" in error


def test_half_and_attention_are_refused_in_python(tmp_path, image):
    weights = write_onnx(tmp_path / "best.onnx")
    with pytest.raises(UserError, match="half: an exported file keeps the precision"):
        YOLO(weights)(image, half=True)
    with pytest.raises(UserError, match=r"attention: .*graph is fixed"):
        YOLO(weights, attention="SimAM@neck")


def test_a_size_that_the_file_does_not_take_is_one_line(tmp_path, image, capsys):
    weights = write_onnx(tmp_path / "best.onnx", shape=(1, 3, 96, 96))
    words = ["--weights", str(weights), "--source", str(image), "--imgsz", "64", "--nosave"]
    assert run_main(detect.main, words) == 2
    assert "--imgsz 64: " in capsys.readouterr().err


def test_feature_maps_need_a_graph_and_no_folder_is_left(tmp_path):
    weights = write_onnx(tmp_path / "best.onnx")
    words = ["--weights", weights, "--visualize", "--source", tmp_path, "--device", "cpu"]
    words += ["--project", tmp_path / "runs"]
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UserError, match=r"--visualize: .*best\.onnx has no rows"):
        detect.main([str(word) for word in words])
    assert not (tmp_path / "runs").exists()
