"""What a row's module knows of its row, and what scripts for YOLOv5 read there."""

from __future__ import annotations

import copy

import torch

from models.graph.info import row_info
from models.graph.load import load_graph
from models.graph.sites import insert
from models.yolo import DetectionModel


def built() -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(insert(load_graph("models/yolov5n.yaml"), "SE@neck.P3"))


def test_every_row_has_its_info() -> None:
    model = built()
    infos = [row_info(row) for row in model.model]
    assert [info.index for info in infos] == list(range(26))
    assert [info.key for info in infos] == list(dict(model.model.named_children()))
    assert (infos[18].module, infos[18].width, infos[18].source) == ("SE", 64, -1)
    assert (infos[2].module, infos[2].repeats) == ("models.common.C3", 1)
    assert (infos[2].arguments, infos[2].parameters) == ("[32, 32, 1]", 4800)


def test_scripts_for_yolov5_find_its_names() -> None:
    model = built()
    for row, info in zip(model.model, map(row_info, model.model), strict=True):
        assert (row.i, row.f, row.type, row.np) == (
            info.index,
            info.source,
            info.module,
            sum(parameter.numel() for parameter in row.parameters()),
        )


def test_infos_are_copied_with_the_model_and_are_no_state() -> None:
    model = built()
    twin = copy.deepcopy(model)
    assert [row_info(row) for row in twin.model] == [row_info(row) for row in model.model]
    assert not [key for key in model.state_dict() if "info" in key]
