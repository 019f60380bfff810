"""NAM: golden values, its hand-written backward pass, the pixel branch's map size, dead scales, and
what it refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.fast.nam import fast_nam
from models.attention.nam import NAM
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("nam")
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def listing(module: NAM, x: Tensor) -> Tensor:
    """The formula written down once more, one operation at a time."""
    for norm, dims in ((module.Channel_Att.bn2, (0, 2, 3)), (module.Spatial_Att.bn, (0, 1))):
        shape = (1, -1, 1, 1) if dims == (0, 2, 3) else (1, 1, *x.shape[2:])
        z = (x - x.mean(dims, keepdim=True)) / (
            x.var(dims, correction=0, keepdim=True) + norm.eps
        ).sqrt()
        size = norm.weight.abs()
        k = (size / size.sum()).view(shape)
        x = x * torch.sigmoid(k * (norm.weight.view(shape) * z + norm.bias.view(shape)))
    return x


class PixelsOnly(nn.Module):
    """The second branch by itself: a channel branch with all scales and shifts 0 halves the map,
    which 2 x undoes.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        whole = NAM(32, spatial_shape=(height, width), detach=True)
        for parameter in whole.Channel_Att.parameters():
            nn.init.zeros_(parameter)
        self.Spatial_Att = whole.Spatial_Att
        self.whole = [whole]  # a list, so that the state dict has the branch once

    def forward(self, x: Tensor) -> Tensor:
        return self.whole[0].to(x.dtype).train(self.training)(2 * x)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_channel_branch_as_in_the_authors_code(size: str) -> None:
    GOLDEN.check(NAM(32, detach=True), "channel_official", size)


def test_default_lets_gradients_through_the_weights_as_the_equation_does() -> None:
    GOLDEN.check(NAM(32), "channel_gradw", "7x13")


@pytest.mark.parametrize("size", ["10x10", "7x13", "1x1"])
def test_pixel_branch(size: str) -> None:
    height, width = map(int, size.split("x"))
    entries = GOLDEN.meta["variants"]["spatial_official"]
    entries["entries"] = entries["sizes"][size].get(
        "entries", entries["entries"]
    )  # one parameter for each position
    GOLDEN.check(PixelsOnly(height, width), "spatial_official", size)


def test_channels_then_pixels() -> None:
    GOLDEN.check(NAM(32, spatial_shape=(7, 13), detach=True), "both_official", "7x13")


@pytest.mark.parametrize("memory_format", LAYOUTS)
def test_gradients_with_signs_and_both_branches(memory_format: torch.memory_format) -> None:
    module = NAM(3, spatial_shape=[4, 5]).double()
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(draws(seed, *parameter.shape))  # some scales are negative
    x = draws(5, 6, 3, 4, 5).double().contiguous(memory_format=memory_format).requires_grad_()
    assert_same_gradients(module, listing, x, memory_format)
    torch.testing.assert_close(module(x), listing(module, x))
    module.spatial_shape = None
    assert torch.autograd.gradcheck(module, (x,), fast_mode=True)


def test_a_batch_of_several_blocks_and_an_expanded_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "models.attention.fast._blocks.STEP", 2 * 16 * 7 * 6
    )  # two images, then one
    module = NAM(16)
    x = draws(5, 3, 16, 7, 6).requires_grad_()
    module(x).sum().backward()
    z = nn.functional.batch_norm(x, None, None, training=True) / 16
    expected = torch.autograd.grad((x * z.sigmoid()).sum(), x)[0]
    torch.testing.assert_close(x.grad, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_fast_form_by_differences(training: bool) -> None:
    norm = nn.BatchNorm2d(3).double().train(training)
    x = draws(5, 2, 3, 4, 2).double().requires_grad_()
    weight, bias = (draws(seed, 3).double().requires_grad_() for seed in (6, 7))
    zero, one = torch.zeros(3).double(), torch.ones(3).double()
    z = nn.functional.batch_norm(x, zero, one, training=training)
    expected = x * (weight.view(3, 1, 1) * z + bias.view(3, 1, 1)).sigmoid()
    torch.testing.assert_close(fast_nam(x, norm, weight, bias), expected)
    assert torch.autograd.gradcheck(
        lambda *given: fast_nam(given[0], norm, *given[1:]), (x, weight, bias)
    )


def test_inference_is_the_same_with_and_without_a_graph() -> None:
    module, x = NAM(8).eval(), draws(5, 2, 8, 5, 6)
    nn.init.uniform_(module.Channel_Att.bn2.running_var, 0.5, 2)
    nn.init.uniform_(module.Channel_Att.bn2.running_mean)
    with torch.inference_mode():
        quick = module(x)
    torch.testing.assert_close(quick, module(x))
    torch.testing.assert_close(quick, x * (module.Channel_Att.bn2(x) / 8).sigmoid())


def test_scales_of_zero_give_half_and_no_nan() -> None:
    module, x = NAM(4), draws(5, 2, 4, 3, 3).requires_grad_()
    nn.init.zeros_(module.Channel_Att.bn2.weight)
    out = module(x)
    torch.testing.assert_close(out, x / 2)
    out.sum().backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_a_single_value_uses_the_running_statistics() -> None:
    module, x = NAM(4), draws(5, 1, 4, 1, 1)
    torch.testing.assert_close(module(x), module.eval()(x))
    assert module.Channel_Att.bn2.num_batches_tracked == 0


def test_another_map_size() -> None:
    module = NAM(4, spatial_shape=(4, 5))
    with pytest.raises(ValueError, match="the map is 5 x 4, but spatial_shape is 4 x 5"):
        module(torch.zeros(2, 4, 5, 4))
    meta = module.to("meta")(
        torch.empty(1, 4, 8, 8, device="meta")
    )  # as where a graph's strides are measured
    assert meta.shape == (1, 4, 8, 8)


def test_sparsity_scales() -> None:
    module = NAM(4, spatial_shape=(2, 3))
    assert [id(scale) for scale in module.sparsity_scales()] == [
        id(module.Channel_Att.bn2.weight), id(module.Spatial_Att.bn.weight)
    ]  # fmt: skip
    assert [tuple(scale.shape) for scale in NAM(4).sparsity_scales()] == [(4,)]


@pytest.mark.parametrize("value", [20, (20,), (20, 20, 20), (0, 3), (2.0, 3), (True, 2), "2x3"])
def test_impossible_shapes(value: Any) -> None:
    with pytest.raises(ValueError, match="spatial_shape="):
        NAM(4, spatial_shape=value)


def test_impossible_detach_and_list_spellings() -> None:
    with pytest.raises(ValueError, match="detach=1: must be true or false"):
        NAM(4, detach=1)  # type: ignore[arg-type]
    assert read_list(NAM, [], 8, int) == ({}, "")
    assert read_list(NAM, [8], 8, int) == ({}, "")
    assert read_list(NAM, [8, [20, 20]], 8, int) == ({"spatial_shape": [20, 20]}, "")
