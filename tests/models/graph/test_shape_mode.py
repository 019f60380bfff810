"""Shapes by table equal PyTorch's own meta kernels, and unusual cases are left to those."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.graph.load import load_graph
from models.graph.shape_mode import LightMode, ShapeMode
from models.yolo import DetectionModel


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


CASES: list[Any] = [
    lambda: F.conv2d(meta(2, 4, 9, 11), meta(6, 2, 3, 5), None, (2, 1), (1, 0), (1, 2), 2),
    lambda: F.conv2d(meta(2, 4, 9, 11), meta(6, 4, 1, 1), meta(6)),
    lambda: F.conv_transpose2d(meta(2, 4, 9, 11), meta(4, 6, 2, 2), stride=2),
    lambda: F.max_pool2d(meta(2, 4, 9, 11), 3, 2, 1),
    lambda: F.max_pool2d(meta(2, 4, 9, 11), 2, 2, 0, ceil_mode=True),
    lambda: F.interpolate(meta(2, 4, 9, 11), scale_factor=2, mode="nearest"),
    lambda: torch.cat((meta(2, 4, 3), meta(2, 5, 3)), 1),
    lambda: torch.cat((meta(2, 4, 3), meta(2, 4, 5)), -1),
    lambda: meta(2, 4, 3, 3).mean((2, 3), keepdim=True),
    lambda: meta(2, 4, 3, 3).sum((-1, 1)),
    lambda: meta(2, 4, 3, 3).mean(),
    lambda: meta(2, 4, 3, 3) * meta(4, 1, 1),
    lambda: 1 / (meta(3, 1) + meta(1, 4) - 2).square(),
    lambda: meta(3) + meta(3, dtype=torch.float64),
    lambda: meta(3) > 0,
    lambda: F.silu(meta(3), inplace=True),
    lambda: nn.BatchNorm2d(4, device="meta").eval()(meta(2, 4, 3, 3)),
    lambda: meta(2, 3).to(torch.bfloat16) + 1,
    lambda: meta(2, 5, 3, 4) @ meta(2, 5, 4, 7),
    lambda: meta(3, 4) @ meta(4, 7),
    lambda: meta(2, 3, 4).softmax(1),
    lambda: torch.arange(7, dtype=torch.float32, device="meta"),
    lambda: torch.arange(2, 7, device="meta"),
    lambda: torch.arange(1.0, 2.1, 0.5, dtype=torch.float64, device="meta"),
    lambda: torch.arange(5, 1, -2, dtype=torch.int64, device="meta"),
]


@pytest.mark.parametrize("number", range(len(CASES)))
@torch.no_grad()
def test_equal_to_pytorchs_own(number: int) -> None:
    expected = CASES[number]()
    with ShapeMode():
        found = CASES[number]()
    assert (found.shape, found.dtype, found.device) == (
        expected.shape,
        expected.dtype,
        expected.device,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: F.conv2d(meta(1, 4, 3, 3), meta(6, 3, 1, 1)),
        lambda: F.conv2d(meta(1, 4, 3, 3), meta(6, 4, 5, 5)),
        lambda: torch.cat((meta(1, 4, 3), meta(1, 4, 2)), 1),
        lambda: meta(3) + meta(4),
        lambda: F.max_pool2d(meta(1, 4, 3, 3), 2, 1, 2),
        lambda: F.max_pool2d(meta(1, 4, 3, 3), 9),
        lambda: meta(3, 4) @ meta(5, 7),
    ],
)
@torch.no_grad()
def test_what_cannot_be_is_still_an_error(wrong: Any) -> None:
    with pytest.raises(RuntimeError), ShapeMode():
        wrong()


@pytest.mark.parametrize(
    "name", ["yolov5s-transformer", "yolov5s-ghost", "yolov3-tiny", "yolov5s_SimAM", "yolo11n"]
)
@torch.no_grad()
def test_whole_networks(name: str) -> None:
    with torch.device("meta"):
        model = DetectionModel(load_graph(f"{name}.yaml")).eval()
    expected = model(meta(1, 3, 96, 64))
    with ShapeMode():
        found = model(meta(1, 3, 96, 64))
    assert found[0].shape == expected[0].shape
    assert [level.shape for level in found[1]] == [level.shape for level in expected[1]]


class Recorder(LightMode):
    """Notes every operation that an inner mode passes on to PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations.add(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["yolov5s", "yolov5s_SimAM", "yolov8n", "yolo11n"])
@torch.no_grad()
def test_the_common_graphs_need_none_of_pytorchs_meta_kernels(name: str) -> None:
    """Views and new tensors are cheap, but other kernels may import PyTorch's compiler."""
    with torch.device("meta"):
        model = DetectionModel(load_graph(f"{name}.yaml")).eval()
    with Recorder() as recorder, ShapeMode():
        model(meta(1, 3, 96, 64))
    left = {str(one._overloadpacket) for one in recorder.operations if not one.is_view}
    assert left <= {"aten.empty", "aten.full", "aten._unsafe_view", "aten.promote_types"}
