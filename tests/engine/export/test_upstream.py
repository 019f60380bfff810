"""State dicts under the keys of YOLOv5 and YOLOv8, and their way back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from engine.export.upstream import save_upstream
from export import main
from models.graph.load import load_graph
from models.weights.load import read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from tests.engine.export.detectors import NAMES, detector
from tests.tiny import write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError


def upstream_names(family: str, name: str) -> list[str]:
    """The original program's state-dict keys, in its order."""
    file = {
        "yolov5": "yolov5/state_dict_shapes.json.gz",
        "yolov8": "yolov8/state_dict_keys.json.gz",
    }[family]
    content = json.loads(
        gzip.decompress((Path(__file__).parents[2] / "golden" / file).read_bytes())
    )
    entries = content[name]["state_dict"] if family == "yolov5" else content["models"][name]["keys"]
    return [entry[0] for entry in entries]


def narrow(name: str) -> dict[str, object]:
    """A graph at a sixteenth of its width, which has the same keys."""
    graph = load_graph(name)
    if graph.get("scales"):
        return {**graph, "scales": {"n": [0.33, 0.0625, 1024]}, "scale": "n"}
    return {**graph, "width_multiple": 0.0625}


@pytest.mark.parametrize(("family", "name"), [("yolov5", "yolov5s"), ("yolov8", "yolov8n")])
def test_upstream_state_has_the_original_programs_keys(family, name, tmp_path, capsys):
    model = DetectionModel(narrow(f"{name}.yaml"), seed=3)
    path = save_upstream(model, str(tmp_path / "best.pt"))
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
    """The command writes it; the same graph and the plain one read every value back."""
    monkeypatch.chdir(tmp_path)
    graph = narrow(source)
    model = DetectionModel(graph, seed=3)
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, model.names, model.state_dict()), tmp_path / "best.pt"
    )
    assert main(["--weights", "best.pt", "--save-upstream"]) == [Path("best_upstream.pt")]
    assert not list(tmp_path.glob("*.torchscript"))
    first = 18 if plain == "yolov5s.yaml" else 16
    written = torch.load("best_upstream.pt", weights_only=True)
    assert f"model.{first}.conv.weight" in written
    assert all(key.split(".")[1].isdigit() for key in written)
    bare = read_weights("best_upstream.pt")
    for target in (graph, narrow(plain)):
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
