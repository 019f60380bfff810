"""The size of a model, as YOLO.info() prints and returns it."""

from __future__ import annotations

import copy

from models.costs.profile import RowCost, count_costs, gigaflops, whole_size
from models.graph.info import row_info
from models.yolo import DetectionModel


def row_costs(model: DetectionModel, imgsz: int) -> list[RowCost]:
    """Count the operations of each row for an image of imgsz pixels, without computing them."""
    return count_costs(copy.deepcopy(model).to("meta"), whole_size(imgsz, model))


def sizes_of(model: DetectionModel, costs: list[RowCost]) -> tuple[int, int, int, float]:
    """(layers, parameters, gradients, GFLOPs as YOLOv5 and YOLOv8 count them)."""
    layers = sum(1 for module in model.modules() if not any(True for _ in module.children()))
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    learnt = sum(size for size, learns in sizes if learns)
    return layers, sum(size for size, _ in sizes), learnt, round(gigaflops(costs)[1], 4)


def print_rows(model: DetectionModel) -> None:
    """Print the number, sources, parameter count and type of each row of the graph."""
    for info in map(row_info, model.model):
        print(f"{info.index:>3} {info.source!s:>18} {info.parameters:>11,}  {info.module}")
