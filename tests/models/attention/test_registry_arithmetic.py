"""The arithmetic of every attention module: half, single and double precision, true gradients.

Modules with a fast form are tested in both forms.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from models.attention._registry import ATTENTION
from tests.models.attention.contract import (
    FORMS,
    assert_all_near,
    assert_near,
    draws,
    every_form,
    every_module,
    gradients,
    shaken,
)

slow = pytest.mark.slow
BOTH = (torch.contiguous_format, torch.channels_last)
half_precision = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"]
)


@every_form
@pytest.mark.parametrize(
    ("dtype", "memory_format"),
    [
        pytest.param(torch.float16, torch.contiguous_format, id="fp16-nchw"),
        pytest.param(torch.bfloat16, torch.channels_last, id="bf16-nhwc"),
        pytest.param(torch.float16, torch.channels_last, id="fp16-nhwc", marks=slow),
        pytest.param(torch.bfloat16, torch.contiguous_format, id="bf16-nchw", marks=slow),
    ],
)
def test_half_precision(
    name: str, form: str, dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    """Weights and input are rounded first for both sides: what is compared is the arithmetic."""
    half = shaken(name, 16).to(dtype)
    wide = copy.deepcopy(half).float()
    x = draws(4, 16, 9, 11).to(dtype).contiguous(memory_format=memory_format)
    for training in (True, False):
        expected, _ = gradients(wide.train(training), x.float())
        out, found = gradients(half.train(training), x)
        assert out.dtype == dtype
        assert_near(out, expected, 1e-2)
        assert all(
            gradient is None or bool(gradient.isfinite().all()) for gradient in found.values()
        )


@every_form
@half_precision
def test_autocast_keeps_the_inputs_type(name: str, form: str, dtype: torch.dtype) -> None:
    module, x = shaken(name, 16), draws(4, 16, 9, 11)
    for training in (True, False):
        expected, _ = gradients(copy.deepcopy(module).train(training), x)
        for given in (torch.float32, dtype):
            with torch.autocast("cpu", dtype):
                out = module.train(training)(x.to(given).requires_grad_())
            out.float().square().mean().backward()
            assert out.dtype == given
            assert_near(out, expected, 2e-2 if given == dtype else 1e-2)
    assert all(
        value.grad is None or bool(value.grad.isfinite().all()) for value in module.parameters()
    )


def sides(large: int, small: int) -> list[Any]:
    """Each form with a large map, which DAttention, in 14 s, has under -m slow only."""
    cases = [(*form, small if form[0] == "DAttention" else large) for form in FORMS]
    return [*cases, pytest.param("DAttention", "as chosen", large, marks=slow)]


@pytest.mark.parametrize(("name", "form", "side"), sides(80, 40), indirect=["form"])
def test_large_values_do_not_overflow_half_precision(name: str, form: str, side: int) -> None:
    x = (6 * draws(1, 8, side, side)).half()
    with torch.no_grad():
        assert shaken(name).half().eval()(x).isfinite().all()


@every_form
def test_double_precision_is_double_throughout(name: str, form: str) -> None:
    """A float32 value hidden inside would show as a difference of float64 results."""
    for training in (True, False):
        module = shaken(name).train(training)
        wide = copy.deepcopy(module).double()
        expected, reference = gradients(wide, draws(2, 8, 5, 7).double())
        assert expected.dtype == torch.float64
        out, found = gradients(module, draws(2, 8, 5, 7))
        assert_near(out, expected, 1e-5)
        assert_all_near(found, reference, 1e-4)


@every_form
@pytest.mark.parametrize(
    ("size", "memory_formats"),
    [
        pytest.param((3, 4), BOTH, id="(3, 4)"),
        pytest.param((1, 3), BOTH[1:], id="(1, 3)"),
        pytest.param((1, 1), BOTH[:1], id="(1, 1)"),
        pytest.param((1, 3), BOTH[:1], id="(1, 3)-nchw", marks=slow),
        pytest.param((1, 1), BOTH[1:], id="(1, 1)-nhwc", marks=slow),
    ],
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradient_by_finite_differences(
    name: str,
    form: str,
    size: tuple[int, int],
    memory_formats: tuple[torch.memory_format, ...],
    training: bool,
) -> None:
    module = shaken(name).double().train(training)
    x = draws(2, 8, *size).double()
    for memory_format in memory_formats:
        leaf = x.contiguous(memory_format=memory_format).requires_grad_()
        assert torch.autograd.gradcheck(module, (leaf,), fast_mode=True)


@every_module
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    """In eval mode, where a bias before a batch norm counts too.

    Dead ones must be named, and be dead.
    """
    dead = set(getattr(ATTENTION[name], "dead_parameters", ()))
    module = shaken(name, 64).double().eval()
    assert dead <= {key for key, _ in module.named_parameters()}
    out, found = gradients(module, draws(4, 64, 6, 9).double())
    scale = float(out.abs().max())
    for key, parameter in module.named_parameters():
        assert parameter.requires_grad
        gradient = found[key]
        size = 0.0 if gradient is None else float(gradient.abs().max())
        assert (size < 1e-9 * scale) if key in dead else (size > 1e-9 * scale), (
            f"{key}: gradient {size:.2g}"
        )


@every_module
def test_gradients_are_given_to_whoever_asks(name: str) -> None:
    """Frozen weights, a frozen input, and a second backward pass through the same graph."""
    module, x = shaken(name).train(), draws(2, 8, 5, 7)
    _, expected = gradients(copy.deepcopy(module), x)
    frozen = copy.deepcopy(module).requires_grad_(False)
    assert_near(gradients(frozen, x)[1][""], expected[""], 1e-6, "frozen weights")
    weights = draws(2, 8, 5, 7, seed=2)
    parameters = dict(module.named_parameters())
    leaf = x.clone().requires_grad_()
    for source in (x, leaf):
        fresh = copy.deepcopy(module)
        parameters = dict(fresh.named_parameters())
        loss = (fresh(source) * weights).sum()
        if not loss.requires_grad:
            assert not parameters
            continue
        for retain in (True, False):
            inputs = list(parameters.values()) + ([leaf] if source is leaf else [])
            values = torch.autograd.grad(
                loss, inputs, retain_graph=retain, allow_unused=True, materialize_grads=True
            )
            found = dict(zip([*parameters, *([""] if source is leaf else [])], values, strict=True))
            found.setdefault("", expected[""])  # type: ignore[arg-type]
            assert_all_near(found, dict(expected), 1e-6)
