"""What every attention module must do whatever it computes: any map, layout, dtype and device, true
gradients.

The cases are the registry's classes, each with its defaults. Weights are shaken first, so that a
zero or constant initial value hides nothing. Values themselves are each module's own tests, against
golden numbers.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from utils.errors import UserError

NAMES = sorted({kind.__name__ for kind in ATTENTION.values()})
MAPS = [(5, 5), (7, 13), (1, 7), (6, 1), (1, 1)]
WIDTHS = (8, 24, 40, 64, 100)
ALWAYS = (8, 64)  # widths that no default may refuse
every_module = pytest.mark.parametrize("name", NAMES)
half_precision = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"]
)


def shaken(name: str, channels: int = 8, seed: int = 0) -> nn.Module:
    """The module with its defaults, every number of its state moved a little away from where it
    starts.
    """
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
    """tolerance: of the largest expected value, or of 1e-3 if that is less: biases before a norm
    have no gradient.
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
    """Gradients, each within tolerance of the largest of its kind: the input's, or any parameter's."""
    assert_near(found.pop(""), expected.pop(""), tolerance, "gradient of x")
    largest = max((float(value.abs().max()) for value in expected.values()), default=0.0)
    for key, value in expected.items():
        assert found[key] is not None, key
        error = float((found[key].double() - value.double()).abs().max())
        assert error <= tolerance * max(largest, 1e-3), f"gradient of {key}: off by {error:.3g}"


# maps and widths


@every_module
@pytest.mark.parametrize("size", MAPS, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_any_map_with_a_single_image(name: str, size: tuple[int, int], training: bool) -> None:
    module = shaken(name).train(training)
    x = draws(1, 8, *size)
    out, found = gradients(module, x)
    assert out.shape == (1, getattr(module, "out_channels", 8), *size)
    assert out.isfinite().all()
    for key, gradient in found.items():
        assert gradient is None or bool(gradient.isfinite().all()), key


@every_module
@pytest.mark.parametrize("channels", WIDTHS)
def test_any_width_works_or_is_refused_in_words(name: str, channels: int) -> None:
    refusal, module = "", nn.Module()
    try:
        module = shaken(name, channels)
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert channels not in ALWAYS, refusal
        assert str(channels) in refusal
        assert "\n" not in refusal
        return
    for key, tensor in module.state_dict().items():
        assert tensor.numel(), f"{key} is empty"
    assert module(draws(2, channels, 5, 7)).shape == (
        2,
        getattr(module, "out_channels", channels),
        5,
        7,
    )


@every_module
def test_a_module_that_keeps_the_width_has_no_out_channels(name: str) -> None:
    module = build_attention(name, 64)
    assert getattr(module, "out_channels", 64) == module(draws(1, 64, 4, 4)).shape[1] == 64


@every_module
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_flat_map_has_finite_values_and_gradients(name: str, value: float) -> None:
    out, found = gradients(shaken(name).train(), torch.full((2, 8, 6, 6), value))
    assert out.isfinite().all()
    assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in found.values())


# memory layouts


@every_module
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_channels_last_in_is_channels_last_out(name: str, training: bool) -> None:
    module = shaken(name).train(training)
    x = draws(4, 8, 5, 7)
    plain, expected = gradients(copy.deepcopy(module), x)
    out, found = gradients(module, x.contiguous(memory_format=torch.channels_last))
    assert plain.is_contiguous()
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert_near(out, plain, 1e-5)
    assert_all_near(found, expected, 1e-5)


@every_module
def test_strided_views_give_what_their_copies_give(name: str) -> None:
    module = shaken(name).train()
    views = {
        "rows and columns": draws(4, 8, 10, 9)[:, :, ::2, 1:8],
        "channels": draws(4, 16, 5, 7)[:, ::2],
        "half of the channels": draws(4, 16, 5, 7)[:, 8:],
        "transposed": draws(4, 8, 7, 5).transpose(2, 3),
        "channels-last slice": (
            draws(4, 8, 5, 9).contiguous(memory_format=torch.channels_last)[:, :, :, 2:]
        ),
        "one column repeated": draws(4, 8, 5, 1).expand(-1, -1, -1, 7),
    }
    for what, x in views.items():
        plain, expected = gradients(
            copy.deepcopy(module), x.clone(memory_format=torch.contiguous_format)
        )
        out, found = gradients(copy.deepcopy(module), x)
        assert_near(out, plain, 1e-5, what)
        assert_all_near(found, expected, 1e-5)


@every_module
def test_gradients_of_any_layout_are_taken(name: str) -> None:
    """`out.sum()` sends back one number expanded; a Concat sends back a slice of a wider map."""
    module, x = shaken(name).train(), draws(4, 8, 5, 7)
    _, expected = gradients(copy.deepcopy(module), x, torch.ones(4, 8, 5, 7))
    fresh, leaf = copy.deepcopy(module), x.clone().requires_grad_()
    fresh(leaf).sum().backward()
    found = {"": leaf.grad, **{key: value.grad for key, value in fresh.named_parameters()}}
    assert_all_near(found, dict(expected), 1e-5)
    fresh, leaf = copy.deepcopy(module), x.clone().requires_grad_()
    weights = draws(4, 24, 5, 7)
    (torch.cat((leaf.detach(), fresh(leaf), leaf.detach()), 1) * weights).sum().backward()
    found = {"": leaf.grad, **{key: value.grad for key, value in fresh.named_parameters()}}
    _, expected = gradients(copy.deepcopy(module), x, weights[:, 8:16])
    assert_all_near(found, expected, 1e-5)


@every_module
def test_the_input_stays_as_it_was(name: str) -> None:
    module, x = shaken(name), draws(4, 8, 5, 7)
    before = x.clone()
    for training in (True, False):
        module.train(training)(x)
        assert torch.equal(x, before)
        assert x._version == 0


# arithmetic


@every_module
@half_precision
@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)
def test_half_precision(name: str, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
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


@every_module
@half_precision
def test_autocast_keeps_the_inputs_type(name: str, dtype: torch.dtype) -> None:
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


@every_module
def test_large_values_do_not_overflow_half_precision(name: str) -> None:
    x = (6 * draws(1, 8, 80, 80)).half()
    with torch.no_grad():
        assert shaken(name).half().eval()(x).isfinite().all()


@every_module
def test_double_precision_is_double_throughout(name: str) -> None:
    """A float32 value hidden inside would show: float64 results may not move when float32 rounds."""
    for training in (True, False):
        module = shaken(name).train(training)
        wide = copy.deepcopy(module).double()
        expected, reference = gradients(wide, draws(2, 8, 5, 7).double())
        assert expected.dtype == torch.float64
        out, found = gradients(module, draws(2, 8, 5, 7))
        assert_near(out, expected, 1e-5)
        assert_all_near(found, reference, 1e-4)


@every_module
@pytest.mark.parametrize("size", [(3, 4), (1, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradient_by_finite_differences(name: str, size: tuple[int, int], training: bool) -> None:
    module = shaken(name).double().train(training)
    x = draws(2, 8, *size).double()
    for memory_format in (torch.contiguous_format, torch.channels_last):
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
        size = 0.0 if found[key] is None else float(found[key].abs().max())  # type: ignore[union-attr]
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


# images, state and devices


@every_module
def test_images_do_not_see_each_other_and_repeats_agree(name: str) -> None:
    module, x = shaken(name).eval(), draws(3, 8, 9, 7)
    x[1] *= 10
    with torch.inference_mode():
        together = module(x)
        assert torch.equal(together, module(x))
        for index in range(3):
            assert_near(module(x[index : index + 1]), together[index : index + 1], 1e-6)


@every_module
def test_state_survives_saving_and_copying(name: str) -> None:
    first, second, x = (
        shaken(name, seed=3).eval(),
        build_attention(name, 8).eval(),
        draws(2, 8, 5, 7),
    )
    first.train()(x)  # statistics move
    first.eval()
    second.load_state_dict(first.state_dict())
    twin = copy.deepcopy(first)
    expected = first(x)
    assert torch.equal(second(x), expected)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.fill_(0)
    assert torch.equal(first(x), expected)  # nothing is shared with the copy


@every_module
def test_nothing_is_tied_to_a_device(name: str) -> None:
    with torch.device("meta"):
        module = build_attention(name, 16)
    assert {tensor.device.type for tensor in module.state_dict().values()} <= {"meta"}
    for training in (True, False):
        assert module.train(training)(torch.empty(2, 16, 5, 7, device="meta")).shape == (
            2,
            16,
            5,
            7,
        )
    real = build_attention(name, 16).to("meta")  # tensors that `to` does not move would stay behind
    assert real(torch.empty(2, 16, 5, 7, device="meta")).device.type == "meta"
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    assert shapes == {
        key: value.shape for key, value in build_attention(name, 16).state_dict().items()
    }


@every_module
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build_attention(name, 16).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
