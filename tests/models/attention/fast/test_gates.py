"""Mean of a map and map times gate: each against the plain operation, in value, gradient, layout
and half precision.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.attention.fast import traced
from models.attention.fast.gates import dot, pool, scale
from tests.models.attention.golden import draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
GATES = pytest.mark.parametrize(
    "shape",
    [
        (2, 3, 1, 1),
        (2, 1, 4, 5),
        (2, 3, 4, 1),
        (2, 3, 1, 5),
        (1, 3, 1, 1),
        (2, 1, 1, 1),
        (2, 3, 4, 5),
        (1, 1, 1, 1),
    ],
)


@LAYOUTS
@GATES
def test_scale(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    x = draws(1, 2, 3, 4, 5).contiguous(memory_format=layout)
    gate = draws(2, *shape)
    out = scale(x, gate)
    assert torch.equal(out, x * gate)
    assert out.is_contiguous(memory_format=layout)
    wide_x, wide_gate = x.double().requires_grad_(), gate.double().requires_grad_()
    assert torch.autograd.gradcheck(scale, (wide_x, wide_gate))
    assert torch.autograd.gradcheck(lambda x: scale(x, gate), (wide_x,))
    assert torch.autograd.gradcheck(lambda gate: scale(x.double(), gate), (wide_gate,))


@LAYOUTS
@GATES
def test_dot_of_unlike_layouts_and_slices(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    a, b = draws(3, 2, 3, 4, 5), draws(4, 2, 3, 4, 5).contiguous(memory_format=layout)
    dims = [dim for dim in range(4) if shape[dim] == 1]
    size = torch.Size(shape)
    expected = (a * b).sum(dims, keepdim=True) if dims else a * b
    torch.testing.assert_close(dot(a, b, size), expected)
    torch.testing.assert_close(dot(b, a, size), expected)
    torch.testing.assert_close(dot(draws(5, 4, 6, 8, 5)[::2, ::2, ::2], b, size).shape, size)
    padded = nn.functional.pad(b, (1, 2, 3, 0))[:, :, 3:, 1:-2]
    torch.testing.assert_close(dot(a, padded, size), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 40, 40), (2, 3, 40, 1)])
def test_sums_of_half_precision_are_wide(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = (draws(6, 2, 3, 40, 40) + 30).to(dtype).requires_grad_()
    gate = draws(7, *shape).requires_grad_()
    out = scale(x, gate)
    assert out.dtype == dtype
    out.sum().backward()
    dims = [dim for dim in range(4) if shape[dim] == 1]
    assert gate.grad is not None
    torch.testing.assert_close(
        gate.grad, x.detach().float().sum(dims, keepdim=True), rtol=1e-2, atol=0
    )
    torch.testing.assert_close(
        pool(x).float(), x.detach().float().mean((2, 3), keepdim=True), rtol=1e-2, atol=0
    )
    assert pool(x).dtype == dtype


@LAYOUTS
def test_pool(layout: torch.memory_format) -> None:
    x = draws(8, 2, 3, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(pool(x), x.mean((2, 3), keepdim=True))
    assert torch.autograd.gradcheck(pool, (x,))
    assert torch.autograd.gradcheck(lambda x: scale(x, pool(x).sigmoid()), (x,))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:FutureWarning")
def test_traced_tells_eager_mode_from_the_rest() -> None:
    seen: list[bool] = []

    def note(x: torch.Tensor) -> torch.Tensor:
        seen.append(traced(x))
        return scale(x, pool(x))

    x = draws(14, 2, 3, 4, 5)
    expected = note(x)
    torch.testing.assert_close(torch.jit.trace(note, x, check_trace=False)(x), expected)
    assert seen == [False, True]
    program = torch.export.export(Block(), (x,))
    torch.testing.assert_close(program.module()(x), expected)


class Block(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return scale(x, pool(x))
