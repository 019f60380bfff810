"""The type of statistics, batch norm of one value, cells of adaptive pooling, and long rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.attention._numerics import apply_batch_norm, cells_of, convolve_row, wide
from tests.models.attention.golden import draws


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_statistics_are_float32_at_least(given: torch.dtype, expected: torch.dtype) -> None:
    assert wide(given) == expected


def test_one_value_is_normalised_by_running_statistics() -> None:
    norm = nn.BatchNorm2d(3)
    norm.running_mean, norm.running_var = draws(9, 3), draws(10, 3).abs() + 0.5
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = draws(11, 1, 3, 1, 1)
    out = apply_batch_norm(norm, x)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    torch.testing.assert_close(out, norm.eval()(x))
    several = draws(12, 2, 3, 1, 1)
    torch.testing.assert_close(apply_batch_norm(norm.train(), several), nn.BatchNorm2d(3)(several))
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("size", [1, 2, 5, 7, 13, 20])
@pytest.mark.parametrize("cells", [1, 3, 5, 7])
def test_cells_are_those_of_adaptive_pooling(size: int, cells: int) -> None:
    pool = nn.functional.adaptive_avg_pool1d
    x = draws(13, 2, 3, size)
    table = cells_of(x, 2, cells)
    assert table.shape == (cells, size)
    torch.testing.assert_close(x @ (table / table.sum(1, keepdim=True)).t(), pool(x, cells))
    means = draws(14, 2, 3, cells)
    torch.testing.assert_close(means @ (table / table.sum(0)), pool(means, size))


def test_the_table_of_cells_has_the_type_of_statistics() -> None:
    assert cells_of(torch.zeros(2, 3, dtype=torch.float16), 1, 2).dtype == torch.float32
    assert cells_of(torch.zeros(2, 3, dtype=torch.float64), 0, 2).dtype == torch.float64
    assert cells_of(torch.zeros(2, 3, device="meta"), 1, 2).device.type == "meta"


@pytest.mark.parametrize("bias", [True, False])
def test_a_long_row_in_float16(bias: bool) -> None:
    """Without the detour, this does not end on processors with AVX512-FP16."""
    conv = nn.Conv2d(8, 8, (1, 21), padding=(0, 10), groups=8, bias=bias)
    x = draws(15, 1, 8, 3, 40)
    expected = conv(x)
    with torch.autocast("cpu", torch.float16):
        cast = convolve_row(conv, x)
    halves = convolve_row(conv.half(), x.half())
    for found in (cast, halves):
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(convolve_row(conv.float(), x), conv(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_long_rows_in_half_precision_return(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    """Where PyTorch's own kernel never returns, this test would not either."""
    conv = nn.Conv2d(16, 16, 15, 2, 7, groups=16)
    x = draws(15, 1, 16, 80, 80).to(dtype, memory_format=layout)
    out = convolve_row(conv.to(dtype), x)
    assert out.dtype == dtype
    expected = conv.float()(x.float())
    torch.testing.assert_close(out.float(), expected, rtol=1e-2, atol=1e-2)
