"""Models from checkpoints and YAMLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.graph.load import load_graph
from models.weights.load import check_holds, from_checkpoint, load_model
from models.yolo import DetectionModel
from tests.tiny import write_graph
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.errors import UserError


def written(tmp_path: Path, seed: int = 1) -> tuple[DetectionModel, Path]:
    model = DetectionModel(load_graph(write_graph(tmp_path)), names=["bright", "dark"], seed=seed)
    path = tmp_path / "best.pt"
    checkpoints.save(
        Checkpoint(model.graph, model.names, checkpoints.lean(model.state_dict())), path
    )
    return model, path


def test_a_checkpoint_gives_back_its_model(tmp_path: Path) -> None:
    model, path = written(tmp_path)
    images = torch.rand(1, 3, 64, 64)
    again = load_model(path, fuse=False)
    assert again.names == {0: "bright", 1: "dark"}
    assert not again.training
    assert all(value.dtype != torch.float16 for value in again.state_dict().values())
    with torch.no_grad():
        torch.testing.assert_close(again(images)[0], model.eval()(images)[0], rtol=2e-2, atol=0.5)


def test_fused_and_plain_agree(tmp_path: Path) -> None:
    _, path = written(tmp_path)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        fused, plain = load_model(path)(images)[0], load_model(path, fuse=False)(images)[0]
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-3)


def test_checkpoints_have_the_anchors_in_force(tmp_path: Path) -> None:
    model, path = written(tmp_path)
    anchors = [[(5.0, 6.0), (7.0, 8.0), (9.0, 10.0)], [(20.0, 21.0), (30.0, 31.0), (40.0, 41.0)]]
    model.set_anchors(anchors)
    checkpoints.save(
        Checkpoint(model.graph, model.names, checkpoints.lean(model.state_dict())), path
    )
    assert load_model(path).spec.anchors == tuple(tuple(level) for level in anchors)


def test_a_checkpoint_that_does_not_fit_its_own_graph_is_refused(tmp_path: Path) -> None:
    model, _ = written(tmp_path)
    state = {
        key: value for key, value in model.state_dict().items() if not key.startswith("model.2.")
    }
    with pytest.raises(UserError, match="weights do not fit"):
        from_checkpoint(Checkpoint(model.graph, model.names, state))


@pytest.mark.parametrize("suffix", [".onnx", ".torchscript"])
def test_an_exported_file_is_named_as_such(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"best{suffix}"
    path.write_bytes(b"exported")
    with pytest.raises(UserError, match=r"is an exported file, .* give the checkpoint"):
        load_model(path)


@pytest.mark.parametrize(
    ("file", "row", "meant"),
    [
        ("yolov8n_CBAM.yaml", ["CBAM", []], {"formula": "paper"}),
        ("yolov5n_EMA.yaml", ["EMA", []], {"factor": 32}),
    ],
)
def test_rows_that_meant_another_form_are_read_from_their_tensors(
    file: str, row: list[Any], meant: dict[str, Any]
) -> None:
    """Lists without options mean what public files mean only since version 0.9.0."""
    graph, written = load_graph(file), load_graph(file)
    for content, arguments in ((graph, meant), (written, row[1])):
        for one in content["head"]:
            if one[2] == row[0]:
                one[3] = arguments
    model = DetectionModel(graph, class_count=2)
    content = {**model.graph, "head": written["head"]}
    again = from_checkpoint(Checkpoint(content, model.names, model.state_dict()))
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(again.eval()(image)[0], model.eval()(image)[0])


@pytest.mark.parametrize("change", [{"width_multiple": 24.0}, {"nc": 90_000}])
def test_a_graph_that_is_much_larger_than_its_file_is_refused_before_it_is_built(
    tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = written(tmp_path)
    graph = {**model.graph, **change}
    names = {number: str(number) for number in range(int(graph["nc"]))}
    content = Checkpoint(graph, names, model.state_dict())
    checkpoints.save(content, path)
    monkeypatch.setattr(DetectionModel, "head", property(lambda _: pytest.fail("was built")))
    with pytest.raises(UserError, match="are more than its checkpoint holds"):
        load_model(path)
    with pytest.raises(UserError, match="are more than its checkpoint holds"):
        check_holds(content)


def test_whole_numbers_as_weights_are_refused(tmp_path: Path) -> None:
    model, _ = written(tmp_path)
    key = "model.0.conv.weight"
    state = {**model.state_dict(), key: model.state_dict()[key].long()}
    with pytest.raises(UserError, match=rf"{key} is torch.int64, where torch.float32 is needed"):
        from_checkpoint(Checkpoint(model.graph, model.names, state))


def test_many_missing_weights_are_still_one_short_line(tmp_path: Path) -> None:
    model, _ = written(tmp_path)
    with pytest.raises(UserError, match="weights do not fit") as caught:
        from_checkpoint(Checkpoint(model.graph, model.names, {}))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
