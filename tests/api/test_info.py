"""Sizes of models, as YOLO.info() prints and returns them."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.info import print_rows
from api.yolo import YOLO


def test_info_and_fuse(graph, capsys):
    model = YOLO(graph)
    layers, parameters, gradients, gflops = model.info()
    assert parameters == sum(value.numel() for value in model.model.parameters())
    assert gradients == sum(
        value.numel() for value in model.model.parameters() if value.requires_grad
    )
    assert (
        f"{layers} layers, {parameters:,} parameters, {gradients:,} gradients"
        in capsys.readouterr().out
    )
    fused = model.fuse().info(verbose=False)
    assert fused[0] < layers
    assert fused[1] < parameters
    assert fused[3] <= gflops
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("yolov8n.yaml", (129, 3157200, 3157184, 8.855)),
        ("yolo11n.yaml", (181, 2624080, 2624064, 6.673)),
    ],
)
def test_info_of_the_shipped_graphs(name, figures):
    assert YOLO(name).info(verbose=False) == pytest.approx(figures, abs=1e-3)


def test_rows_are_printed_with_their_parameters(graph: Path, capsys) -> None:
    model = YOLO(graph).model
    print_rows(model)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(model.model)
    counts = [int(line.split("  ")[-2].replace(",", "")) for line in lines]
    assert sum(counts) == sum(value.numel() for value in model.parameters())
