"""The type of an autograd function's context has no attribute that PyTorch's object lacks."""

from __future__ import annotations

import torch
from torch import Tensor

from models.gradient_context import GradientContext
from tests.models.attention.golden import draws


class Noting(torch.autograd.Function):
    @staticmethod
    def forward(ctx: GradientContext, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 2 * x

    @staticmethod
    def backward(ctx: GradientContext, g: Tensor) -> Tensor:
        wanted = {*GradientContext.__annotations__, "save_for_backward"}
        assert wanted == {"saved_tensors", "needs_input_grad", "save_for_backward"}
        assert {name for name in wanted if hasattr(ctx, name)} == wanted
        assert ctx.needs_input_grad == (True,)
        return g * ctx.saved_tensors[0]


def test_what_pytorch_hands_over() -> None:
    x = draws(1, 2, 3).requires_grad_()
    (found,) = torch.autograd.grad(Noting.apply(x).sum(), x)
    torch.testing.assert_close(found, x)
