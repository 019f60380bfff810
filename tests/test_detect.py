"""detect.py as a command and as a library: boxes, files, videos, mistakes in one line."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import detect
from detect import main, names_from
from engine.inference import outputs
from engine.inference.detector import Detector
from engine.inference.pipeline import predict
from engine.inference.settings import DetectConfig
from models.weights.load import read_weights
from utils.errors import UserError, run_main
from utils.families import V5, V8
from utils.files import ROOT
from utils.structures import Frame

NAMES = {0: "red", 1: "green"}
COLOURS = {0: (0, 0, 255), 1: (0, 255, 0)}  # BGR


class ColourModel(nn.Module):
    """A detector that is right: each patch of pure red or green is a box.

    Larger patches have a higher confidence.
    """

    family, channels = V5, 3

    def __init__(self) -> None:
        super().__init__()
        self.eval()
        self.anything = nn.Parameter(torch.zeros(1))
        self.names, self.stride = NAMES, torch.tensor([8.0, 16.0, 32.0])
        self.seen: list[tuple[int, ...]] = []
        self.augmented = False

    def forward(self, x: torch.Tensor, augment: bool = False):
        assert 0 <= x.min() <= x.max() <= 1
        assert x.dtype == torch.float32
        self.seen.append(tuple(x.shape))
        self.augmented = self.augmented or augment
        rows = [[0.0] * 7]
        for class_id in NAMES:
            patch = (x[0, class_id] > 0.8) & (x[0, 1 - class_id] < 0.2) & (x[0, 2] < 0.2)
            _, _, stats, _ = cv2.connectedComponentsWithStats(patch.numpy().astype(np.uint8))
            for left, top, width, height, area in stats[1:]:
                score = min(0.99, 0.3 + area / patch.numel())
                row = [left + width / 2, top + height / 2, width, height, score, 0.0, 0.0]
                row[5 + class_id] = 1.0
                rows.append(row)
        return torch.tensor([rows]), None


def scene(size: tuple[int, int], patches: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    """Grey image (height, width) with patches (class, x1, y1, x2, y2)."""
    image = np.full((*size, 3), 90, np.uint8)
    for class_id, x1, y1, x2, y2 in patches:
        image[y1:y2, x1:x2] = COLOURS[class_id]
    return image


PATCHES = [(0, 20, 30, 100, 90), (1, 120, 20, 180, 50), (1, 130, 60, 150, 80)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a test used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def model(monkeypatch, tmp_path) -> ColourModel:
    """A model that main() uses, in an empty working folder."""
    fake = ColourModel()

    def load(config):
        return fake, dataclasses.replace(config, imgsz=config.imgsz or (192,)), ""

    monkeypatch.setattr(detect, "load", load)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), scene((100, 200), PATCHES))
    return fake


def test_boxes_are_in_pixels_of_the_original(model):
    (found,) = predict(model, "a.png", DetectConfig(imgsz=(96,)))
    assert found.size == (100, 200)
    assert found.path == "a.png"
    assert found.classes.tolist() == [0, 1, 1]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert torch.allclose(found.boxes, torch.tensor([row[1:] for row in PATCHES]).float(), atol=2.5)
    assert found.names == NAMES


@pytest.mark.parametrize(
    ("imgsz", "shape"),
    [
        ((192,), (96, 192)),
        ((100,), (64, 128)),
        ((64, 192), (64, 128)),
        ((320,), (160, 320)),
        ((640,), (320, 640)),
    ],
)
def test_the_border_is_as_narrow_as_possible(model, imgsz, shape):
    list(predict(model, "a.png", DetectConfig(imgsz=imgsz)))
    assert model.seen == [(1, 3, *shape)]


def test_predict_takes_frames_too(model):
    frames = [Frame(scene((100, 200), PATCHES[:count]), "x", "x") for count in (1, 2, 3)]
    assert [len(found.boxes) for found in predict(model, frames)] == [1, 2, 3]


def test_all_outputs_of_an_image(model, tmp_path, capsys):
    main(["--source", "a.png", "--save-txt", "--save-conf", "--save-csv", "--save-crop"])
    folder = tmp_path / "runs" / "detect" / "exp"
    files = {
        str(file.relative_to(folder)).replace("\\", "/")
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert files == {
        "a.png",
        "labels/a.txt",
        "predictions.csv",
        "crops/red/a.jpg",
        "crops/green/a.jpg",
        "crops/green/a2.jpg",
    }
    rows = [line.split() for line in (folder / "labels" / "a.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "0"]
    assert [float(value) for value in rows[2][1:5]] == pytest.approx([0.3, 0.6, 0.4, 0.6], abs=0.02)
    drawn = cv2.imread(str(folder / "a.png"))
    assert drawn.shape == (100, 200, 3)
    assert (drawn != scene((100, 200), PATCHES)).any()
    out = capsys.readouterr().out
    assert "image 1/1 a.png: 96x192 1 red, 2 green, " in out
    assert "Speed: " in out
    assert "at shape (1, 3, 192, 192)" in out
    assert f"Results saved to {Path('runs/detect/exp')}" in out
    assert f"1 label file saved to {Path('runs/detect/exp/labels')}" in out


def test_nosave_writes_nothing(model, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(["--source", "a.png", "--nosave"]) is None
    assert sorted(tmp_path.rglob("*")) == before
    assert "Results saved" not in capsys.readouterr().out


def test_runs_are_numbered(model):
    folders = [
        main(["--source", "a.png"]),
        main(["--source", "a.png"]),
        main(["--source", "a.png", "--exist-ok"]),
    ]
    assert [folder.name for folder in folders] == ["exp", "exp2", "exp"]


def test_images_of_one_name_have_different_files(model, tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "z/ä b.jpg"):
        (tmp_path / name).parent.mkdir()
        content = cv2.imencode(".jpg", scene((64, 64), [(0, 5, 5, 50, 50)]))[1]
        (tmp_path / name).write_bytes(content.tobytes())
    folder = main(["--source", "*/*.jpg", "--save-txt"])
    assert sorted(file.name for file in folder.glob("*.jpg")) == ["a.jpg", "a2.jpg", "ä b.jpg"]
    assert sorted(file.name for file in (folder / "labels").iterdir()) == [
        "a.txt",
        "a2.txt",
        "ä b.txt",
    ]


def test_filters(model, capsys):
    main(["--source", "a.png", "--nosave", "--classes", "1", "--max-det", "1", "--augment"])
    assert "96x192 1 green, " in capsys.readouterr().out
    assert model.augmented
    main(["--source", "a.png", "--nosave", "--conf-thres", "0.95"])
    assert "96x192 (no detections), " in capsys.readouterr().out


def test_unreadable_images_do_not_stop_the_rest(model, tmp_path, capsys):
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8")
    assert run_main(main, ["--source", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "skipped " in out
    assert f"1 of 2 could not be read: {tmp_path / 'b.jpg'}" in out


@pytest.mark.parametrize("length", [248, 251])
def test_a_long_name_is_written_under_save_txt(model, tmp_path, length):
    (tmp_path / "a.png").rename(tmp_path / ("x" * length + ".png"))
    flags = ["--source", str(tmp_path), "--save-txt", "--save-crop", "--project", str(tmp_path)]
    assert run_main(main, flags) == 0
    assert (tmp_path / "exp/labels" / ("x" * length + ".txt")).is_file()
    assert len(list((tmp_path / "exp/crops").rglob("x*.jpg"))) == 3


def test_a_picture_whose_result_cannot_be_written_is_named_and_the_others_go_on(
    model, tmp_path, capsys
):
    shutil.copyfile(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "exp/labels/a.txt").mkdir(parents=True)  # in the way
    flags = ["--source", str(tmp_path), "--save-txt", "--project", str(tmp_path), "--exist-ok"]
    assert run_main(main, flags) == 2
    captured = capsys.readouterr()
    assert (tmp_path / "exp/labels/b.txt").is_file()
    assert "Results saved to" in captured.out
    assert captured.err.startswith("error: 1 file is missing, all others are written: ")
    assert "a.txt: cannot be written (Is a directory)" in captured.err
    assert captured.err.count("\n") == 1


def test_a_name_that_is_not_utf8_is_printed_and_the_others_go_on(model, tmp_path, capsys):
    for name in (b"\xb3\xb5.png", b"a\n\x1b[31m.png"):
        shutil.copyfile(tmp_path / "a.png", os.fsencode(tmp_path) + b"/" + name)
    assert run_main(main, ["--source", str(tmp_path), "--nosave"]) == 0
    out = capsys.readouterr().out
    assert "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png: 96x192 1 red, 2 green" in out
    assert "/a\\n\\x1b[31m.png: 96x192" in out
    assert out.count("96x192") == 3


def test_nothing_readable_is_a_mistake(model, tmp_path, capsys):
    (tmp_path / "b.jpg").write_bytes(b"")
    assert run_main(main, ["--source", "b.jpg"]) == 2
    error = capsys.readouterr().err
    assert "nothing could be read; b.jpg" in error
    assert error.count("\n") == 1


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (200, 100))
    for _ in range(frames):
        writer.write(scene((100, 200), PATCHES))
    writer.release()


@pytest.mark.parametrize(
    ("flags", "frames", "fps"), [([], 15, 20.0), (["--vid-stride", "4"], 4, 5.0)]
)
def test_video(model, tmp_path, capsys, flags, frames, fps):
    write_video(tmp_path / "v.avi", 15)
    folder = main(["--source", "v.avi", "--save-txt", *flags])
    capture = cv2.VideoCapture(str(folder / "v.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == fps
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == frames
    assert len(list((folder / "labels").glob("v_*.txt"))) == frames
    assert f"video 1/1 ({frames}/{frames}) v.avi: 96x192 " in capsys.readouterr().out


def test_interrupted_video_plays(model, tmp_path, monkeypatch):
    write_video(tmp_path / "v.avi", 15)
    forward = ColourModel.forward

    def stop_at_ten(self, x, augment=False):
        if len(self.seen) == 10:
            signal.raise_signal(signal.SIGINT)
        return forward(self, x, augment)

    monkeypatch.setattr(ColourModel, "forward", stop_at_ten)
    with pytest.raises(SystemExit) as caught:
        main(["--source", "v.avi"])
    assert caught.value.code == 130
    folder = tmp_path / "runs" / "detect" / "exp"
    assert [file.name for file in folder.iterdir()] == ["v.mp4"]
    capture = cv2.VideoCapture(str(folder / "v.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 10
    capture.release()  # what the caught error keeps alive would be collected anywhere


def test_a_stream_is_stopped_cleanly(model, monkeypatch, tmp_path):
    from data.sources import streams

    write_video(tmp_path / "v.avi", 8)
    (tmp_path / "a.streams").write_text("v.avi\nv.avi\n")
    monkeypatch.setattr(streams, "PAUSE", 0.01)
    folder = main(["--source", "a.streams"])
    assert sorted(file.name for file in folder.iterdir()) == ["v.mp4", "v2.mp4"]


def test_no_window_is_one_line(model, monkeypatch, capsys):
    monkeypatch.setattr(outputs, "why_no_window", lambda: "there is no display here")
    main(["--source", "a.png", "--nosave", "--view-img"])
    assert (
        capsys.readouterr().out.count(
            "--view-img: there is no display here; going on without a window"
        )
        == 1
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--imgsz", "1", "2", "3"], "--imgsz"),
        (["--imgsz", "8"], "--imgsz"),
        (["--vid-stride", "0"], "--vid-stride=0"),
        (["--line-thickness", "-1"], "--line-thickness=-1"),
        (["--conf-thres", "1.5"], "--conf-thres=1.5"),
        (["--iou-thres", "nan"], "--iou-thres=nan"),
        (["--max-det", "0"], "--max-det=0"),
        (["--classes", "-1"], "--classes"),
        (["--save-format", "2"], "--save-format"),
        (["--dnn"], "--dnn: OpenCV's DNN module is not used"),
        (["--update"], "--update: is not needed"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_refused_values_name_their_flag(flags, words, capsys):
    assert run_main(main, flags) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_missing_source_from_a_shell(tmp_path):
    command = [sys.executable, str(ROOT / "detect.py"), "--source", "missing"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr == "error: --source missing: no such file or folder; check the path\n"
    assert result.stdout == ""


def test_every_flag_of_yolov5_is_there_or_refused():
    flags = (
        "weights source data imgsz conf_thres iou_thres max_det device view_img save_txt"
        " save_format save_csv save_conf save_crop nosave classes agnostic_nms augment visualize"
        " update project name exist_ok line_thickness hide_labels hide_conf half dnn vid_stride"
    )
    known = {field.name for field in dataclasses.fields(DetectConfig)}
    refused = {name.removeprefix("--").replace("-", "_") for name in detect.DETECT_LINE.refused}
    assert known | refused == {*flags.split(), "modules", "tf32", "batch_size", "font_size"}
    assert not known & refused
    assert DetectConfig().max_det == 1000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A yolov5n of two classes with random weights, saved as train.py would."""
    from models.graph.load import load_graph
    from models.yolo import DetectionModel
    from utils.checkpoint import Checkpoint, lean, save

    graph = load_graph("yolov5n.yaml")
    fresh = DetectionModel(graph, class_count=2, names=NAMES)
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    save(Checkpoint(fresh.graph, NAMES, lean(fresh.state_dict()), config={"imgsz": 64}), path)
    return path


class Free(ColourModel):
    """The same without objectness: two boxes of one class that overlap by 60 %."""

    family = V8

    def forward(self, x: torch.Tensor, augment: bool = False):
        rows = [
            [30.0, 30, 40, 40, 0.9, 0.1],
            [40.0, 30, 40, 40, 0.8, 0.1],
            [90.0, 30, 9, 9, 0.2, 0.2],
        ]
        return torch.tensor([rows]), None


@pytest.mark.parametrize(("iou", "count"), [(None, 2), (0.45, 1), (0.7, 2)])
def test_models_without_objectness_have_their_own_overlap(iou, count):
    """By default it is 0.7 for them and 0.45 for the others; a given value holds for both."""
    (found,) = predict(
        Free(),
        [Frame(scene((96, 128), []), "x", "x")],
        DetectConfig(imgsz=(96, 128), iou_thres=iou),
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.8][:count])
    assert found.classes.tolist() == [0] * count
    assert DetectConfig().nms(V5).iou == 0.45


def test_a_real_checkpoint(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", scene((100, 200), PATCHES))
    flags = [
        "--source",
        "a.png",
        "--device",
        "cpu",
        "--conf-thres",
        "0.0001",
        "--max-det",
        "7",
        "--save-txt",
    ]
    folder = main(["--weights", str(checkpoint), *flags])
    assert "a.png: 32x64 " in capsys.readouterr().out  # the size it was trained at
    one = (folder / "labels" / "a.txt").read_text().splitlines()
    assert 1 <= len(one) <= 7
    folder = main(
        ["--weights", str(checkpoint), str(checkpoint), "--augment", "--imgsz", "96", *flags]
    )
    assert "a.png: 64x96 " in capsys.readouterr().out
    assert (folder / "labels" / "a.txt").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_file_is_read_once_and_half_converts_its_weights(
    checkpoint, monkeypatch, capsys, precision
):
    reads = []

    def read(path):
        reads.append(path)
        return read_weights(path)

    monkeypatch.setattr("models.weights.load.read_weights", read)
    monkeypatch.setattr("engine.detector_model.choose_half", lambda device: precision)
    config = DetectConfig(weights=(str(checkpoint),), half=True, device="cpu")
    network, config, _ = detect.load(config)
    is_half = precision == "bf16"
    assert next(network.parameters()).dtype == (torch.bfloat16 if is_half else torch.float32)
    assert ("continuing in float32" in capsys.readouterr().out) is not is_half
    assert config.imgsz == (64,)
    assert len(reads) == 1


def test_real_mistakes(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", scene((100, 200), PATCHES))
    with pytest.raises(UserError, match="--classes 2: the model's classes are numbered 0 to 1"):
        main(["--weights", str(checkpoint), "--source", "a.png", "--classes", "2"])
    with pytest.raises(UserError, match=r"none\.pt"):
        main(["--weights", "none.pt", "--source", "a.png"])
    (tmp_path / "d.yaml").write_text("train: .\nval: .\nnames: [a, b, c]\n")
    with pytest.raises(UserError, match="names 3 classes, but the model has 2"):
        main(["--weights", str(checkpoint), "--source", "a.png", "--data", "d.yaml"])
    (tmp_path / "d.yaml").write_text("train: .\nval: .\nnames: [rot, blau]\n")
    main(
        [
            "--weights",
            str(checkpoint),
            "--source",
            "a.png",
            "--data",
            "d.yaml",
            "--conf-thres",
            "0",
            "--save-crop",
        ]
    )
    crops = {folder.name for folder in (tmp_path / "runs" / "detect").glob("*/crops/*")}
    assert crops
    assert crops <= {"rot", "blau"}


def test_names_of_a_data_set_in_another_order_are_refused_and_renamed_ones_said(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    known = {0: "red", 1: "blue"}
    (tmp_path / "d.yaml").write_text("names: [blue, red]\n")
    with pytest.raises(UserError, match=r"d\.yaml: has the classes of m\.pt in another order"):
        names_from("d.yaml", known, "m.pt")
    (tmp_path / "d.yaml").write_text("names: [rot, blau]\n")
    assert names_from("d.yaml", known, "m.pt") == {0: "rot", 1: "blau"}
    assert "note: 2 of 2 class names differ, such as class 0: rot in" in capsys.readouterr().out


def test_detector_is_quick_to_prepare(model):
    detector = Detector(model, DetectConfig(imgsz=(192,)))
    frame = Frame(scene((100, 200), PATCHES), "x", "x")
    started = time.perf_counter()
    found = detector(frame)
    assert sum(found.times) <= time.perf_counter() - started
    assert min(found.times) >= 0
