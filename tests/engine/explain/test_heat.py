"""Heat maps of tiny networks with anchors and without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.explain.formulas import FORMULAS
from engine.explain.heat import (
    Recorded,
    backbone_rows,
    choose_rows,
    explain,
    heat_of,
    record_with_gradient,
)
from engine.explain.targets import Target, find_targets
from models.yolo import DetectionModel
from tests.tiny import lively, write_free_graph, write_graph
from utils.errors import UserError
from utils.nms_settings import NMSSettings

WRITERS = (write_graph, write_free_graph)


def network(folder: Path, write) -> DetectionModel:
    return lively(write(folder), {0: "a", 1: "b"}).eval().fuse().requires_grad_(False)


def image() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_rows_are_chosen_by_name_and_number(tmp_path: Path) -> None:
    model = network(tmp_path, write_graph)
    assert choose_rows(model, ("head",), "object") == [4, 5]
    assert choose_rows(model, ("auto",), "class") == [4, 5]
    assert choose_rows(model, ("auto",), "object") == backbone_rows(model) == [4, 5]
    assert choose_rows(model, ("3", "1", "3"), "object") == [1, 3]
    with pytest.raises(UserError, match="--layers 6: must be a row before the head, which is 6"):
        choose_rows(model, ("6",), "object")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("method", FORMULAS)
def test_every_method_explains_objects_and_classes(tmp_path: Path, write, method: str) -> None:
    model = network(tmp_path, write)
    recorded = record_with_gradient(model, image(), choose_rows(model, ("2", "4"), "object"))
    decoded = model(image())[0]
    assert torch.allclose(recorded.decoded, decoded, atol=1e-4)
    targets = find_targets(decoded, model.family, NMSSettings(0.01, 0.45, 2), "object")
    for target in (targets[0], Target(1)):
        heat = explain(model, recorded, target, method)
        assert heat is not None
        assert heat.map.shape == (64, 96)
        assert heat.map.min() >= 0
        assert heat.map.max() == 1
        assert heat.score > 0
    assert explain(model, recorded, Target(0, torch.tensor([-900.0, 0, -800, 9])), method) is None


def test_with_anchors_the_head_gives_an_object_one_cell_and_a_class_all(tmp_path: Path) -> None:
    model = network(tmp_path, write_graph)
    recorded = record_with_gradient(model, image(), [4, 5])
    maps = list(recorded.maps.values())
    target = find_targets(recorded.decoded, model.family, NMSSettings(0.01, 0.45, 1), "object")[0]
    heat = explain(model, recorded, target, "layercam")
    whole = explain(model, recorded, Target(target.class_id), "layercam")
    assert heat is not None
    assert whole is not None
    cell = 64 // maps[1].shape[2]  # of the coarser level; interpolation reaches into neighbours
    assert 0 < int((heat.map > 0).sum()) <= (2 * cell) ** 2
    assert (whole.map > 0).float().mean() > 0.9
    box = target.box
    assert box is not None
    y, x = divmod(int(heat.map.argmax()), heat.map.shape[1])
    centre = (box[:2] + box[2:]) / 2
    assert abs(float(centre[0]) - x) <= 2 * cell
    assert abs(float(centre[1]) - y) <= 2 * cell


def test_levels_share_one_scale_but_for_eigencam() -> None:
    weak = torch.full((1, 1, 2, 2), 1.0, requires_grad=True)
    strong = torch.full((1, 1, 2, 2), 10.0, requires_grad=True)
    recorded = Recorded(torch.zeros(0), {0: weak, 1: strong}, (4, 4))
    score = weak[..., 0].sum() + strong[..., 1].sum()
    heat = heat_of(recorded, score, "layercam")
    assert heat[0].tolist() == pytest.approx([0.1, 0.25, 0.75, 1.0], abs=0.16)
    assert float(heat[0, 0]) == pytest.approx(0.1)
    assert (heat_of(recorded, score, "eigencam") == 1).all()
