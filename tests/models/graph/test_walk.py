"""Running rows: what is kept for later readers, and sizes as the first trial finds them."""

from __future__ import annotations

import torch

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.walk import measure_strides, saved_rows
from models.yolo import DetectionModel, parse_model


def test_sizes_of_all_rows_and_strides() -> None:
    graph = read_graph(load_graph("yolov8n.yaml"))
    with torch.device("meta"):
        network, _ = parse_model(graph, 0)
    found = measure_strides(network, graph)
    assert found.strides == [8, 16, 32]
    sides = [128, 64, 64, 32, 32, 16, 16, 8, 8, 8, 16, 16, 16, 32, 32, 32, 16, 16, 16, 8, 8, 8]
    assert found.sizes == [(side, side) for side in sides]
    assert saved_rows(network) == [4, 6, 9, 12, 15, 18, 21]


def test_call_sees_every_row_once() -> None:
    with torch.device("meta"):
        model = DetectionModel(load_graph("yolov8n.yaml")).eval()
    seen: list[int] = []

    def call(row, maps):
        seen.append(row.i)
        return row(maps)

    model.walk(torch.empty(1, 3, 64, 64, device="meta"), call)
    assert seen == list(range(23))
