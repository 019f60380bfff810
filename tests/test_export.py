"""export.py: files that give what the model gives, tell what they are, and mistakes in one line."""

from __future__ import annotations

import builtins
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import export
from export import CONVERTERS, REFUSED_FLAGS, ExportConfig, Exported, main
from models.graph.read import load_graph
from models.weights.load import read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from tests.tiny import write_free_graph, write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError, run_main
from utils.nms import NMSSettings, non_max_suppression

NAMES = {0: "bright", 1: "dark"}
needs_onnx = pytest.mark.skipif(
    any(
        __import__("importlib.util").util.find_spec(name) is None
        for name in ("onnx", "onnxscript", "onnxruntime")
    ),
    reason="onnx, onnxscript and onnxruntime are not installed",
)


def detector(path: Path) -> DetectionModel:
    """A model whose scores are spread out, as a trained one's are."""
    model = DetectionModel(load_graph(path), class_count=2, names=NAMES)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in model.head.named_parameters():
            if value.requires_grad:
                value += 0.3 * torch.randn(value.shape, generator=generator)
            if key.endswith("bias") and value.shape[0] in (
                2,
                21,
            ):  # classes, or all of three anchors
                value += 4
    return model.eval()


@pytest.fixture(scope="module", params=["anchors", "free"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DetectionModel:
    folder = tmp_path_factory.mktemp("graph")
    return detector(write_graph(folder) if request.param == "anchors" else write_free_graph(folder))


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def run_onnx(path: Path, images: torch.Tensor) -> tuple[torch.Tensor, object]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    assert [value.name for value in session.get_inputs()] == ["images"]
    assert [value.name for value in session.get_outputs()] == ["output0"]
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), session


def expected(model: DetectionModel, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        decoded = model(images)[0]
    return decoded if model.family.has_objectness else decoded.transpose(1, 2)


@needs_onnx
def test_onnx_gives_what_the_model_gives(model, tmp_path, capsys):
    config = ExportConfig(include=("onnx",), imgsz=(64, 96), batch_size=2)
    (path,) = export.export(model, config, tmp_path / "best.pt")
    images = pictures(2, 3, 64, 96)
    found, session = run_onnx(path, images)
    assert path == tmp_path / "best.onnx"
    assert found.shape == ((2, 360, 7) if model.family.has_objectness else (2, 6, 120))
    torch.testing.assert_close(found, expected(model, images), rtol=1e-4, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["names"] == str(NAMES)
    assert metadata["stride"] == "16"
    assert [file.name for file in tmp_path.iterdir()] == ["best.onnx"]
    assert "differs from the model by" in capsys.readouterr().out


@needs_onnx
def test_dynamic_onnx_takes_other_batches_and_sizes(model, tmp_path):
    config = ExportConfig(include=("onnx",), imgsz=(96,), dynamic=True)
    (path,) = export.export(model, config, tmp_path / "best.pt")
    for shape in ((1, 3, 96, 96), (3, 3, 64, 160)):
        images = pictures(*shape)
        found, session = run_onnx(path, images)
        torch.testing.assert_close(found, expected(model, images), rtol=1e-4, atol=1e-4)
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]


@needs_onnx
def test_onnx_with_suppression(model, tmp_path):
    config = ExportConfig(
        include=("onnx",), imgsz=(96,), nms=True, conf_thres=0.05, iou_thres=0.5, max_det=12
    )
    (path,) = export.export(model, config, tmp_path / "best.pt")
    images = pictures(1, 3, 96, 96)
    found, _ = run_onnx(path, images)
    assert found.shape == (1, 12, 6)
    wanted = suppressed(model, images, 12)
    torch.testing.assert_close(found[0, : len(wanted)], wanted, rtol=1e-3, atol=1e-3)
    assert not found[0, len(wanted) :].any()


@needs_onnx
def test_a_comparison_of_nothing_with_nothing_is_not_called_one(tmp_path, capsys):
    model = detector(write_graph(tmp_path))
    config = ExportConfig(include=("onnx",), imgsz=(64,), nms=True, conf_thres=1.0)
    export.export(model, config, tmp_path / "best.pt")
    said = capsys.readouterr().out
    assert "onnx: not compared with the model" in said
    assert "differs" not in said


def suppressed(
    model: DetectionModel, images: torch.Tensor, most: int, conf: float = 0.05
) -> torch.Tensor:
    """What detect.py finds in one image."""
    with torch.no_grad():
        decoded = model(images)[0]
    return non_max_suppression(decoded, model.family, NMSSettings(conf, 0.5, most))[0]


@pytest.mark.parametrize(("most", "conf"), [(5, 0.05), (1000, 0.05), (50, 1.0)])
def test_suppression_of_a_fixed_shape_is_that_of_detect(model, most, conf):
    """More detections than fit, fewer, and none at all."""
    wrapped = Exported(model, ExportConfig(nms=True, conf_thres=conf, iou_thres=0.5, max_det=most))
    images = pictures(1, 3, 96, 96)
    found, wanted = wrapped(images)[0], suppressed(model, images, most, conf)
    assert found.shape == (most, 6)
    assert 0 < len(wanted) <= most if conf < 1 else not len(wanted)
    torch.testing.assert_close(found[: len(wanted)], wanted, rtol=1e-3, atol=1e-3)
    assert not found[len(wanted) :].any()


@needs_onnx
def test_half_precision_onnx(model, tmp_path):
    config = ExportConfig(include=("onnx",), imgsz=(64,), half=True)
    (path,) = export.export(model, config, tmp_path / "best.pt")
    images = pictures(1, 3, 64, 64)
    found, session = run_onnx(path, images.half())
    assert session.get_inputs()[0].type == "tensor(float16)"
    torch.testing.assert_close(found.float(), expected(model, images), rtol=0.05, atol=0.5)


def test_torchscript_gives_what_the_model_gives(model, tmp_path):
    (path,) = export.export(model, ExportConfig(imgsz=(64, 96)), tmp_path / "best.pt")
    extra = {"config.txt": ""}
    with export.quiet():
        loaded = torch.jit.load(str(path), _extra_files=extra)
    images = pictures(1, 3, 64, 96)
    torch.testing.assert_close(loaded(images), expected(model, images), rtol=1e-4, atol=1e-4)
    assert json.loads(extra["config.txt"])["names"] == str(NAMES)


def test_the_model_stays_as_it_was(model, tmp_path):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    export.export(model, ExportConfig(imgsz=(64,), half=True, nms=True), tmp_path / "best.pt")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert next(model.parameters()).requires_grad


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


def upstream_names(family: str, name: str) -> list[str]:
    """The original program's state-dict keys, in its order."""
    file = {
        "yolov5": "yolov5/state_dict_shapes.json.gz",
        "yolov8": "yolov8/state_dict_keys.json.gz",
    }[family]
    content = json.loads(gzip.decompress((Path(__file__).parent / "golden" / file).read_bytes()))
    entries = content[name]["state_dict"] if family == "yolov5" else content["models"][name]["keys"]
    return [entry[0] for entry in entries]


@pytest.mark.parametrize(("family", "name"), [("yolov5", "yolov5s"), ("yolov8", "yolov8n")])
def test_upstream_state_has_the_original_programs_keys(family, name, tmp_path, capsys):
    model = DetectionModel(load_graph(f"{name}.yaml"), seed=3)
    path = export.save_upstream(model, str(tmp_path / "best.pt"))
    state = torch.load(path, weights_only=True)
    assert path.name == "best_upstream.pt"
    assert list(state) == upstream_names(family, name)
    assert len(state) == {"yolov5s": 349, "yolov8n": 355}[name]
    assert f"best_upstream.pt: {len(state)} tensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "plain"), [("yolov5s_ECA.yaml", "yolov5s.yaml"), ("yolov8_ECA.yaml", "yolov8n.yaml")]
)
def test_upstream_state_counts_attention_rows_and_comes_back_whole(
    source, plain, tmp_path, monkeypatch
):
    """Out of a checkpoint by the command, into the same graph and into the plain one, every value
    the same.
    """
    monkeypatch.chdir(tmp_path)
    graph = load_graph(source, "n" if source.startswith("yolov8") else "")
    model = DetectionModel(graph, seed=3)
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, model.names, model.state_dict()), tmp_path / "best.pt"
    )
    assert main(["--weights", "best.pt", "--save-upstream"]) == [Path("best_upstream.pt")]
    assert not list(tmp_path.glob("*.torchscript"))
    first = 18 if plain == "yolov5s.yaml" else 16
    assert f"model.{first}.conv.weight" in torch.load("best_upstream.pt", weights_only=True)
    bare = read_weights("best_upstream.pt")
    for target in (graph, load_graph(plain)):
        back = DetectionModel(target, seed=4)
        report = transfer(back, with_graph(bare, graph, "f"))
        assert report.copied == report.total
        assert all(
            torch.equal(value, model.state_dict()[key]) for key, value in back.state_dict().items()
        )


def test_upstream_state_beside_other_formats_and_not_of_a_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = detector(write_graph(tmp_path))
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, NAMES, model.state_dict()), tmp_path / "best.pt"
    )
    flags = ["--weights", "best.pt", "--save-upstream", "--include", "torchscript", "--imgsz", "64"]
    assert main(flags) == [Path("best_upstream.pt"), Path("best.torchscript")]
    assert all(path.exists() for path in main(flags))
    whole = torch.load("best_upstream.pt", weights_only=True)
    main(["--weights", "best.pt", "--save-upstream", "--half"])
    half = torch.load("best_upstream.pt", weights_only=True)
    assert {value.dtype for value in half.values()} == {torch.float16, torch.int64}
    assert all(torch.equal(value, whole[key].to(value)) for key, value in half.items())
    with pytest.raises(UserError, match=r"--save-upstream: .*tiny\.yaml has no weights"):
        main(["--weights", str(tmp_path / "tiny.yaml"), "--save-upstream"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--include", "engine"], "onnx and torchscript; make it of them with trtexec"),
        (["--include", "coreml"], "coremltools"),
        (["--include", "onyx"], "no such format"),
        (["--imgsz", "8"], "--imgsz"),
        (["--imgsz", "64", "64", "64"], "--imgsz"),
        (["--opset", "12"], "--opset=12"),
        (["--batch", "0"], "--batch-size=0"),
        (["--conf", "2"], "--conf-thres=2"),
        (["--weights", "missing.pt"], "missing.pt"),
        (["--int8"], "--int8: is not part"),
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
        {f"--{name.replace('_', '-')}" for name in flags.split()} - spelled - set(REFUSED_FLAGS)
    )
    assert not missing
    assert not set(export.FORMATS) & set(CONVERTERS)


def test_missing_packages_are_one_line_with_the_remedy(tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] in ("onnx", "onnxscript"):
            raise ImportError(f"No module named '{name}'")
        return imported(name, *rest)

    def refuse(*_args, **_options):
        without("onnxscript")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    model = detector(write_graph(tmp_path))
    with pytest.raises(UserError, match="pip install onnx onnxscript"):
        export.export(model, ExportConfig(include=("onnx",), imgsz=(64,)), tmp_path / "best.pt")
    assert not list(tmp_path.glob("*.onnx"))


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


@needs_onnx
def test_an_operator_set_that_the_exporter_does_not_write_is_told(tmp_path: Path) -> None:
    file = detector(write_graph(tmp_path))
    with pytest.raises(UserError, match="--opset=99: PyTorch's exporter writes"):
        export.export(
            file, ExportConfig(include=("onnx",), imgsz=(64,), opset=99), tmp_path / "best.pt"
        )
