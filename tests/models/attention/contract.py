"""What the tests of every attention module share: the cases, shaken weights, and comparisons.

The cases are the classes of the registry, each with its defaults, so that a new module is covered
without an entry. Weights are shaken first, so that a zero or constant initial value hides nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from utils.files import ROOT

NAMES = sorted({kind.__name__ for kind in ATTENTION.values()})
FAST = {path.stem for path in (ROOT / "models" / "attention" / "fast").glob("[!_]*.py")}
every_module = pytest.mark.parametrize("name", NAMES)
# A module with a fast form runs twice, since accelerators and exporters take the plain one.
FORMS = [
    (name, form)
    for name in NAMES
    for form in ("as chosen", "plain")
    if form == "as chosen" or ATTENTION[name].__module__.rpartition(".")[2] in FAST
]
every_form = pytest.mark.parametrize(("name", "form"), FORMS, indirect=["form"])


def shaken(name: str, channels: int = 8, seed: int = 0) -> nn.Module:
    """The module with its defaults, every number of its state moved a little from its start."""
    torch.manual_seed(seed)
    module = build_attention(name, channels)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return module


def draws(*shape: int, seed: int = 1) -> Tensor:
    """Normal values around a mean of each image's channel, so that norms over the batch are well
    conditioned.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) + torch.randn(
        *shape[:2], 1, 1, generator=generator
    )


def gradients(
    module: nn.Module, x: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The output, and gradients of a weighted sum of it for the input ("") and each parameter."""
    module.zero_grad()
    x = x.detach().requires_grad_()
    out = module(x)
    weights = draws(*out.shape, seed=2).to(out.dtype) if weights is None else weights
    (out * weights).sum().backward()
    return out.detach(), {
        "": x.grad,
        **{key: value.grad for key, value in module.named_parameters()},
    }


def assert_near(
    found: Tensor | None, expected: Tensor | None, tolerance: float, what: str = ""
) -> None:
    """Compare within tolerance of the largest expected value, or of 1e-3 if that is less, since
    biases before a norm have no gradient.
    """
    assert found is not None, what
    assert expected is not None, what
    assert found.shape == expected.shape, what
    assert bool(found.isfinite().all()), f"{what}: not finite"
    error = float((found.detach().double() - expected.detach().double()).abs().max())
    assert error <= tolerance * max(float(expected.detach().abs().max()), 1e-3), (
        f"{what}: off by {error:.3g}"
    )


def assert_all_near(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """Compare gradients within tolerance of the largest: the input's own, or any parameter's."""
    assert_near(found.pop(""), expected.pop(""), tolerance, "gradient of x")
    largest = max((float(value.abs().max()) for value in expected.values()), default=0.0)
    for key, value in expected.items():
        assert found[key] is not None, key
        error = float((found[key].double() - value.double()).abs().max())
        assert error <= tolerance * max(largest, 1e-3), f"gradient of {key}: off by {error:.3g}"
