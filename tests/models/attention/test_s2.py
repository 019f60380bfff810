"""S2Attention: golden values, and the formula position by position."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import build_attention
from models.attention.s2 import S2Attention, edge_changes, move, split_quarters
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("s2").check(S2Attention(32), "fixed", size)


def shifted(x: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """Each position of a quarter takes what is one step (rows, columns) before it, or itself."""
    out, quarter = x.clone(), x.shape[1] // 4
    height, width = x.shape[2:]
    for number, (down, right) in enumerate(steps):
        channels = slice(number * quarter, (number + 1) * quarter if number < 3 else None)
        for row in range(height):
            for column in range(width):
                source = (row - down, column - right)
                if 0 <= source[0] < height and 0 <= source[1] < width:
                    out[:, channels, row, column] = x[:, channels, source[0], source[1]]
    return out


def listing(module: S2Attention, x: Tensor) -> Tensor:
    """The formula as the paper has it: the moved parts, their sum, their shares."""
    a, b, c = module.mlp1(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).chunk(3, 1)
    down, up, right, left = (1, 0), (-1, 0), (0, 1), (0, -1)
    parts = torch.stack(
        (shifted(a, [down, up, right, left]), shifted(b, [right, left, down, up]), c), 1
    )
    pooled = parts.sum((1, 3, 4))
    if module.pooling == "mean":
        pooled = pooled / (x.shape[2] * x.shape[3])
    attention = module.split_attention
    logits = attention.mlp2(F.gelu(attention.mlp1(pooled)))
    shares = logits.reshape(len(x), 3, -1).softmax(1)
    mixed = (parts * shares[..., None, None]).sum(1)
    return module.mlp2(mixed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@LAYOUTS
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("shape", [(2, 8, 5, 4), (1, 7, 1, 6), (2, 3, 4, 1)], ids=str)
def test_the_formula_and_its_gradients(
    shape: tuple[int, ...], pooling: str, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = S2Attention(shape[1], pooling=pooling).double()
    x = draws(1, *shape).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_every_direction() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3).expand(1, 4, 2, 3)  # rows 0 1 2 and 3 4 5
    down, up, right, left = move(x, "down", "up", "right", "left")[0].tolist()
    assert down == [[0, 1, 2], [0, 1, 2]]
    assert up == [[3, 4, 5], [3, 4, 5]]
    assert right == [[0, 0, 1], [3, 3, 4]]
    assert left == [[1, 2, 2], [4, 5, 5]]


def test_quarters_of_any_width() -> None:
    assert [part.shape[1] for part in split_quarters(torch.zeros(1, 11))] == [2, 2, 2, 5]
    change = edge_changes(torch.ones(1, 5), 2 * torch.ones(1, 5))
    assert change.tolist() == [[1, -1, 2, -2, -2]]


def test_large_sums_stay_finite_in_half_precision() -> None:
    """The sum over a large map is far above what float16 holds, and so are its logits."""
    torch.manual_seed(0)
    module, x = S2Attention(8), 20 * torch.ones(1, 8, 80, 80)
    expected = module(x)
    found = module.half()(x.half())
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", torch.float16):
        assert module.float()(x).isfinite().all()


def test_parameters_and_names() -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in S2Attention(256).parameters()) == 525_312
    assert type(build_attention("S2", 8)) is S2Attention


@pytest.mark.parametrize("pooling", ["max", None, 1])
def test_impossible_values(pooling: Any) -> None:
    with pytest.raises(ValueError, match=r"pooling=.*: must be sum or mean"):
        S2Attention(8, pooling=pooling)
