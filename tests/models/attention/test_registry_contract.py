"""What every attention module must do whatever it computes: any map and layout, state and devices.

Arithmetic is tested in test_registry_arithmetic.py, and values in each module's own tests, against
golden numbers.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.attention import build_attention
from tests.models.attention.contract import (
    assert_all_near,
    assert_near,
    draws,
    every_module,
    gradients,
    shaken,
)
from utils.errors import UserError

MAPS = [(5, 5), (7, 13), (1, 7), (6, 1), (1, 1)]
WIDTHS = (8, 24, 40, 64, 100)
ALWAYS = (8, 64)  # widths that no default may refuse


# maps and widths


@every_module
@pytest.mark.parametrize(
    ("training", "size"),
    [
        pytest.param(
            training,
            size,
            id=f"{'train' if training else 'eval'}-{size}",
            # The norms of training see more of the map, so it has all of them in each run.
            marks=[] if training or size in ((7, 13), (1, 1)) else pytest.mark.slow,
        )
        for training in (True, False)
        for size in MAPS
    ],
)
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
    """A sum of pixels sends back expanded numbers; a Concat sends back a slice of a wider map."""
    module, x = shaken(name).train(), draws(4, 8, 5, 7)
    # Not the same number everywhere: that has no gradient before a batch norm.
    expanded = draws(4, 8, 1, 1, seed=2).expand(-1, -1, 5, 7)
    _, expected = gradients(copy.deepcopy(module), x, expanded.contiguous())
    fresh, leaf = copy.deepcopy(module), x.clone().requires_grad_()
    (fresh(leaf).sum((2, 3)) * expanded[..., 0, 0]).sum().backward()
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


# images, state and devices


# Of the largest value. S2Attention's shares are exponentials of sums over the map, which reach 337
# in the second image below, where a float32 has steps of 3e-5. A processor that sums one image in
# another order than three then gives other digits (1.1e-6 on an AMD EPYC; each is within 0.7e-6 of
# float64).
ALONE = {"S2Attention": 3e-6}


@every_module
def test_images_do_not_see_each_other_and_repeats_agree(name: str) -> None:
    module, x = shaken(name).eval(), draws(3, 8, 9, 7)
    x[1] *= 10
    with torch.inference_mode():
        together = module(x)
        assert torch.equal(together, module(x))
        for index in range(3):
            alone = module(x[index : index + 1])
            assert_near(alone, together[index : index + 1], ALONE.get(name, 1e-6))


@every_module
def test_a_single_image_has_the_gradients_that_it_has_in_a_batch(name: str) -> None:
    """PyTorch's batch norm on a CPU misreads some layouts of the gradient of a single image."""
    module, x, weights = shaken(name).eval(), draws(1, 8, 6, 10), draws(1, 8, 6, 10, seed=2)
    _, found = gradients(module, x, weights)
    found = {key: None if value is None else value.clone() for key, value in found.items()}
    _, pair = gradients(module, torch.cat((x, x)), torch.cat((weights, 0 * weights)))
    assert pair[""] is not None
    assert_all_near({**found}, {**pair, "": pair[""][:1]}, 1e-5)


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
    real = build_attention(name, 16).to("meta")  # tensors that `to` does not move would stay
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
