"""Blocks take YOLOv5's short names of arguments, and refuse what they refuse otherwise."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from models.blocks import v8
from models.common import C3, SPPF, Bottleneck, Conv, DWConv


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (Conv(c1=8, c2=4, k=3, s=2, p=1, g=2, d=1), Conv(8, 4, 3, 2, 1, 2, 1)),
        (DWConv(8, 4, k=3, s=2, d=2), DWConv(8, 4, 3, 2, 2)),
        (Bottleneck(8, 8, shortcut=False, g=2, e=1.0), Bottleneck(8, 8, False, 2, 1.0)),
        (C3(8, 8, n=2, g=2, e=1.0), C3(8, 8, 2, True, 2, 1.0)),
        (SPPF(8, 8, k=3), SPPF(8, 8, 3)),
        (v8.C2f(8, 8, n=2, e=1.0), v8.C2f(8, 8, 2, False, 1, 1.0)),
    ],
)
def test_short_names(short: nn.Module, long: nn.Module) -> None:
    assert shapes_of(short) == shapes_of(long)
    x = torch.zeros(1, 8, 8, 8)
    assert short.eval()(x).shape == long.eval()(x).shape


def test_signature_and_errors_stay() -> None:
    assert list(inspect.signature(Conv.__init__).parameters)[:4] == [
        "self",
        "inputs",
        "outputs",
        "kernel",
    ]
    with pytest.raises(TypeError, match="unexpected keyword argument 'q'"):
        Conv(8, 4, q=3)
    with pytest.raises(TypeError, match="multiple values for argument 'kernel'"):
        Conv(8, 4, 3, k=3)
