"""SOCA against a root by eigenvalues, flat maps, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.soca import SOCA, covariance, root_means
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: SOCA, x: Tensor) -> Tensor:
    """The formula once more, with all products of the paper's five iterations."""
    batch, channels, height, width = x.shape
    count = height * width
    centre = torch.eye(count, dtype=x.dtype) / count - 1 / count**2
    flat = x.reshape(batch, channels, count)
    matrix = torch.einsum("bcm,mn,bdn->bcd", flat, centre, flat)
    trace = torch.einsum("bcc->b", matrix)[:, None, None]
    unit = torch.eye(channels, dtype=x.dtype).expand_as(matrix)
    y, z = matrix / trace, unit
    for _ in range(5):
        y, z = y @ (3 * unit - z @ y) / 2, (3 * unit - z @ y) @ z / 2
    means = (y * trace.sqrt()).mean(1)[:, :, None, None]
    return x * module.conv_du(means)


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"reduction": 2}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = SOCA(6, **options).double()
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_the_iterations_approach_the_root() -> None:
    """Eigenvalues of one size converge; those far below the trace do not in five iterations."""
    x = draws(3, 1, 5, 40, 40).double()
    matrix = covariance(x)
    torch.testing.assert_close(matrix[0], x[0].flatten(1).cov(correction=0))
    values, vectors = torch.linalg.eigh(matrix[0])
    root = vectors @ values.sqrt().diag() @ vectors.T
    torch.testing.assert_close(root_means(matrix)[0, :, 0], root.mean(1), rtol=1e-2, atol=1e-3)


def test_a_flat_map_has_no_covariance() -> None:
    module, x = SOCA(4), torch.full((1, 4, 3, 3), 2.0, requires_grad=True)
    out = module(x)
    torch.testing.assert_close(out, x * module.conv_du(torch.zeros(1, 4, 1, 1)))
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_lists_and_cost() -> None:
    assert read_list(SOCA, [1024], 1024, int) == ({}, "")
    assert read_list(SOCA, [1024, 16], 1024, int) == ({"reduction": 16}, "")
    assert sum(value.numel() for value in SOCA(256).parameters()) == 16_672
    with pytest.raises(ValueError, match="reduction=0"):
        SOCA(8, reduction=0)
