"""api/yolo.py: the functions of the scripts under other names, for both families of graphs."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

import detect
import val
from api import yolo
from api.results import Results
from api.yolo import YOLO
from engine.inference.pipeline import predict
from engine.inference.settings import DetectConfig
from models.graph.load import load_graph
from tests.api.conftest import NAMES
from tests.tiny import write_graph
from utils import checkpoint as checkpoints
from utils.config import Hyperparameters, TrainConfig
from utils.errors import UserError
from utils.yaml_file import load_yaml

QUICK = {"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0, "plots": False}


def test_train_holds_the_best_afterwards(graph, folder):
    model = YOLO(graph)
    result = model.train(
        data=folder / "data.yaml", epochs=1, mosaic=0.5, lr0=0.002, project="p", name="n", **QUICK
    )
    run = Path("p/n")
    assert model.save_dir == run
    assert model.names == NAMES
    assert result.results_dict.keys() >= {"metrics/mAP50(B)", "fitness"}
    best = checkpoints.read(run / "weights" / "best.pt")
    state = model.model.state_dict()
    assert all(torch.equal(value.float(), state[key].float()) for key, value in best.state.items())
    assert yaml.safe_load((run / "hyp.yaml").read_text())["mosaic"] == 0.5
    written = yaml.safe_load((run / "opt.yaml").read_text())
    assert (written["cfg"], written["epochs"], written["noplots"]) == (str(graph), 1, True)


def planned(monkeypatch, model: YOLO, **options):
    """The flags and hyperparameters that train() gives to plan()."""
    asked = []

    def plan(given, changes):
        asked.append((given, changes))
        raise UserError("planned")

    monkeypatch.setattr(yolo, "plan", plan)
    with pytest.raises(UserError, match="planned"):
        model.train(**options)
    return asked[0]


def test_train_keywords(graph, weights, monkeypatch):
    model = YOLO(graph).load(weights)
    options = {
        "epochs": 3,
        "batch": 8,
        "device": [0, 1],
        "cos_lr": True,
        "freeze": 2,
        "cache": True,
        "patience": 5,
        "close_mosaic": 1,
        "seed": 4,
        "optimizer": "Adam",
        "val": False,
        "amp": False,
        "scale": 0.7,
    }
    given, changes = planned(monkeypatch, model, **options, warmup_epochs=1.0)
    assert given == {
        "cfg": str(graph),
        "weights": str(weights),
        "epochs": 3,
        "batch_size": 8,
        "device": "0,1",
        "cos_lr": True,
        "freeze": (2,),
        "cache": "ram",
        "patience": 5,
        "close_mosaic": 1,
        "seed": 4,
        "optimizer": "Adam",
        "noval": True,
        "precision": "fp32",
    }
    assert changes == {"scale": 0.7, "warmup_epochs": 1.0}


def test_where_training_begins(graph, weights, monkeypatch):
    assert planned(monkeypatch, YOLO(graph)) == (
        {"cfg": str(graph)},
        {},
    )  # no data: the project's own default set
    assert planned(monkeypatch, YOLO(graph), pretrained=weights)[0] == {
        "cfg": str(graph),
        "weights": str(weights),
    }
    assert planned(monkeypatch, YOLO(graph).load(weights), pretrained=False)[0] == {
        "cfg": str(graph)
    }
    assert planned(monkeypatch, YOLO(weights))[0] == {"weights": str(weights)}
    assert planned(monkeypatch, YOLO(weights), resume=True, epochs=9)[0] == {"resume": str(weights)}
    assert planned(monkeypatch, YOLO(graph), resume=True)[0] == {"resume": "newest"}
    assert planned(monkeypatch, YOLO(graph).to("cpu"))[0] == {"cfg": str(graph), "device": "cpu"}
    with pytest.raises(UserError, match="pretrained=False"):
        YOLO(weights).train(pretrained=False)


def test_attention_by_name(graph, weights, monkeypatch):
    """Attention enters a YAML or a checkpoint, whose weights stay, and is kept for train()."""
    block = load_graph(graph)["backbone"][2][2]
    wanted = ["SE:init=identity@head", f"CBAM:init=identity@inside {block}"]
    fresh, trained, plain = (
        YOLO(graph, attention=wanted[0]),
        YOLO(weights, attention=wanted),
        YOLO(weights),
    )
    assert [row.type for row in fresh.model.model[-3:-1]] == ["SE", "SE"]
    state = trained.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.model.state_dict().items())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(trained.model.eval()(image)[0], plain.model.eval()(image)[0])
    asked = planned(monkeypatch, trained, attention="ECA@index.1")[0]
    assert asked == {"weights": str(weights), "attention": (*wanted, "ECA@index.1")}
    assert planned(monkeypatch, fresh)[0] == {"cfg": str(graph), "attention": (wanted[0],)}
    with pytest.raises(UserError, match=r"write YOLO\(…, attention=\[…\]\)"):
        plain.val(attention="SE@neck")


def test_a_stopped_training_is_an_interrupt(graph, folder, monkeypatch):
    def stopped(run, tell):
        raise SystemExit(130)

    monkeypatch.setattr(yolo, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        YOLO(graph).train(data=folder / "data.yaml", epochs=1, **QUICK)


def test_val_is_val_py(weights, folder, capsys):
    model = YOLO(weights)
    result = model.val(batch=2, device="cpu", workers=0, plots=False)
    flags = [
        "--weights",
        str(weights),
        "--data",
        str(folder / "data.yaml"),
        "--imgsz",
        "64",
        "--batch",
        "2",
        "--device",
        "cpu",
        "--workers",
        "0",
        "--noplots",
    ]
    wanted = val.main(flags)
    assert result.box.map > 0
    assert (result.box.map, result.box.map50, result.box.mp, result.box.mr) == (
        wanted.map, wanted.map50, wanted.precision, wanted.recall,
    )  # fmt: skip
    assert np.array_equal(result.confusion_matrix.matrix, wanted.details.confusion)
    assert result.box.maps.shape == (2,)
    assert result.box.map75 == pytest.approx(wanted.details.curves.ap[:, 5].mean())
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    assert str(result.save_dir) in capsys.readouterr().out
    with pytest.raises(UserError, match="split='speed'"):
        model.val(split="speed")


def test_predict_is_detect_py(weights, folder, capsys):
    images = folder / "images" / "val"
    found = YOLO(weights).predict(images, conf=0.3, device="cpu")
    config = DetectConfig(imgsz=(64,), conf_thres=0.3, device="cpu")
    model = detect.load(dataclasses.replace(config, weights=(str(weights),)))[0]
    wanted = list(predict(model, images, config))
    assert len(found) == len(wanted) == 4
    assert sum(map(len, found)) > 4
    for result, detections in zip(found, wanted, strict=True):
        assert isinstance(result, Results)
        assert torch.equal(result.boxes.xyxy, detections.boxes)
        assert torch.equal(result.boxes.conf, detections.scores)
        assert torch.equal(result.boxes.cls.long(), detections.classes)
    assert capsys.readouterr().out.count("image ") >= 4
    assert not Path("runs").exists()


def test_every_kind_of_source_gives_the_same(weights, folder, capsys):
    from PIL import Image

    model = YOLO(weights)
    path = folder / "images" / "val" / "000.png"
    bgr = cv2.imread(str(path))
    tensor = torch.from_numpy(bgr[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    capsys.readouterr()
    for source in (path, str(path), bgr, Image.open(path), tensor, [path], [bgr]):
        (result,) = model(source, conf=0.3, verbose=False)
        (first,) = model(str(path), conf=0.3, verbose=False)
        assert len(result) > 0
        assert torch.equal(result.boxes.data, first.boxes.data)
    assert capsys.readouterr().out == ""


def test_stream_is_lazy(weights, folder):
    model = YOLO(weights)
    results = model(folder / "images" / "val", stream=True, conf=0.3, max_det=1, verbose=False)
    assert not isinstance(results, list)
    assert len(next(results)) == 1
    assert len(list(results)) == 3


def test_predict_writes_what_detect_writes(weights, folder):
    source = folder / "images" / "val" / "001.png"
    (result,) = YOLO(weights).predict(
        source,
        save=True,
        save_txt=True,
        save_conf=True,
        save_crop=True,
        conf=0.3,
        max_det=2,
        classes=0,
        line_width=2,
        project="p",
        name="n",
    )
    files = {
        path.relative_to("p/n").as_posix() for path in Path("p/n").rglob("*") if path.is_file()
    }
    assert {"001.png", "labels/001.txt"} <= files
    assert result.save_dir == str(Path("p/n"))
    assert set(result.boxes.cls.tolist()) == {0}
    result.save_txt("again.txt", save_conf=True)
    assert Path("again.txt").read_text() == Path("p/n/labels/001.txt").read_text()


def test_scales():
    assert YOLO("yolov8.yaml", scale="n").info(verbose=False)[1] == 3157200
    with pytest.raises(UserError, match="scale"):
        YOLO("yolov5n.yaml", scale="s")


def test_export_gives_a_path(weights, tmp_path):
    path = YOLO(weights).export(format="torchscript", nms=True, conf=0.3)
    assert path == str(tmp_path / "w.torchscript")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # PyTorch deprecates this format, by one class of warning or another
        assert torch.jit.load(path)(torch.zeros(1, 3, 64, 64)).shape == (1, 300, 6)
    with pytest.raises(UserError, match="trtexec"):
        YOLO(weights).export(format="engine")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda model, _: model.train(epoch=3),
            "train: epoch=3: no such keyword; did you mean epochs",
        ),
        (lambda model, _: model.train(lr=3), "did you mean lrf, lr0?"),
        (lambda model, _: model.train(epochs="3"), "epochs"),
        (lambda model, _: model.train(optimizer="Lion"), "optimizer='Lion': must be one of"),
        (lambda model, data: model.train(data=data, mosaic=2.0), "mosaic"),
        (lambda model, _: model.train(data="missing.yaml"), "missing.yaml"),
        (lambda model, _: model.val(data="missing.yaml"), "missing.yaml"),
        (lambda model, _: model.val(lr0=1), "val: lr0=1: no such keyword"),
        (lambda model, _: model("missing.png"), "missing.png"),
        (lambda model, _: model("missing.png", stream=True), "missing.png"),
        (lambda model, _: model(np.zeros((8, 8, 3), np.uint8), conf=2.0), "conf"),
        (lambda model, _: model(np.zeros((8, 8, 3), np.uint8), classes=[9]), "classes=9"),
        (lambda model, _: model.load("missing.pt"), "nothing is downloaded"),
        (lambda model, _: model.to("cuda:9"), "9"),
        (lambda model, _: model.train("my.yaml"), "a data set is given as data="),
        (lambda model, _: YOLO("yolov8n.yaml", attention=3), "attention=3: must be text such as"),
        (lambda model, _: YOLO("yolov8n.yaml", attention=[3]), "attention=[3]: must be text"),
        (lambda *_: YOLO("yolov8n.pt"), "nothing is downloaded"),
        (lambda *_: YOLO("missing.yaml"), "missing.yaml"),
        (lambda *_: YOLO("yolov8n.yaml", task="segment"), "only detect"),
    ],
)
def test_mistakes_are_one_line(tmp_path, folder, call, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = YOLO(write_graph(tmp_path))
    with pytest.raises(UserError) as caught:
        call(model, str(folder / "data.yaml"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_class_count_is_refused(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has 2 classes"):
        YOLO("yolov8n.yaml").val(data=folder / "data.yaml", **QUICK)


def test_every_common_keyword_is_known():
    words = (
        "data epochs imgsz batch device workers optimizer lr0 project name patience freeze amp"
        " cache cos_lr seed close_mosaic lrf momentum weight_decay warmup_epochs box cls dfl hsv_h"
        " degrees translate fliplr mosaic mixup single_cls rect exist_ok plots val save save_period"
        " multi_scale verbose label_smoothing"
    )
    from api.keywords import read_keywords

    sample = dict.fromkeys(words.split(), 1) | {"cache": "ram", "optimizer": "SGD"}
    given, changes = read_keywords(TrainConfig, sample, "train", yolo.HYPERPARAMETERS)
    assert len(given) + len(changes) == len(sample)
    assert set(changes) <= {field.name for field in dataclasses.fields(Hyperparameters)}


def test_attention_none_is_no_attention(graph: Path) -> None:
    assert YOLO(graph, attention=None).attention == ()


def test_verbose_prints_rows_and_costs(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    YOLO(graph, "detect", True)
    shown = capsys.readouterr().out
    assert "GFLOPs" in shown
    assert "models.common.Conv" in shown
    YOLO(graph)
    assert "GFLOPs" not in capsys.readouterr().out


def test_val_names_classes_as_the_data_set_does(weights, folder, tmp_path):
    content = load_yaml(folder / "data.yaml")
    names = [NAMES[1], NAMES[0]]
    (tmp_path / "other.yaml").write_text(
        yaml.safe_dump({**content, "path": str(folder), "names": names})
    )
    model = YOLO(weights)
    result = model.val(data=tmp_path / "other.yaml", batch=2, device="cpu", workers=0, plots=False)
    assert result.names == dict(enumerate(names))
    assert model.names == {0: NAMES[0], 1: NAMES[1]}
    assert "in another order; they match by name" in result.metrics.notes[0]


def test_export_traces_where_the_model_was_sent(weights, monkeypatch):
    asked = []

    def export(model, config, path):
        asked.append(config.device)
        return [Path("x.onnx")]

    monkeypatch.setattr("api.yolo.export.export", export)
    model = YOLO(weights)
    model.export()
    model.to("cpu").export()
    model.export(device=1)
    assert asked == ["", "cpu", "1"]


def test_a_tensor_is_searched_at_its_own_size(weights):
    """As in Ultralytics, where imgsz has no effect on a tensor."""
    model = YOLO(weights)
    results = model(torch.rand(2, 3, 96, 160), imgsz=320, device="cpu", verbose=False)
    assert [result.orig_shape for result in results] == [(96, 160)] * 2
    assert [result.found.shape for result in results] == [(96, 160)] * 2
    with pytest.raises(UserError, match=r"the tensor is \[4, 8\], but \[B, 3, H, W\]"):
        model(torch.rand(4, 8))
