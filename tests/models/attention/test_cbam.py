"""CBAM: golden values, its hand-written backward passes, ties of maxima, kernel sizes, and what it
refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.cbam import CBAM
from models.attention.fast.cbam import fast_cbam
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("cbam")
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def listing(module: CBAM, x: Tensor) -> Tensor:
    """The formula written down once more, one operation at a time."""
    channel, spatial = module.channel_attention, module.spatial_attention
    pooled = (x.mean((2, 3)), x.amax((2, 3)))
    if module.formula == "ultralytics":
        logits = channel.fc(pooled[0])
    else:
        logits = sum(channel.fc2(channel.fc1(each).relu()) for each in pooled)
    y = x * logits.sigmoid()[:, :, None, None]
    if spatial is None:
        return y
    logits = spatial.conv(torch.stack((y.amax(1), y.mean(1)), 1))
    y = y * (spatial.bn(logits) if module.formula == "paper" else logits).sigmoid()
    return x + y if module.formula == "external" else y


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(CBAM(32), "official", size)


def test_golden_channel_gate_alone() -> None:
    GOLDEN.check(CBAM(32, reduction=8, no_spatial=True), "no_spatial", "7x13")


class CopiedSpatialGate(nn.Module):
    """As the gates of copies, which join [mean, max] and have other names."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, nn.Conv2d(2, 1, 7, padding=3, bias=False))

    def forward(self, largest: Tensor, mean: Tensor) -> Tensor:
        (conv,) = self.children()
        return conv(torch.cat((mean, largest), 1)).sigmoid()


@pytest.mark.parametrize(
    ("formula", "variant", "name"),
    [("plain", "yolo_conv", "conv1"), ("ultralytics", "ultralytics", "cv1")],
)
def test_golden_forms_of_copies(formula: str, variant: str, name: str) -> None:
    module = CBAM(32, formula=formula)
    module.spatial_attention = CopiedSpatialGate(name)  # type: ignore[assignment]
    GOLDEN.check(module, variant, "7x13")


@pytest.mark.parametrize("memory_format", LAYOUTS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_size": 3},
        {"no_spatial": True},
        {"reduction": 2, "kernel_size": 1},
        {"formula": "plain"},
        {"formula": "ultralytics"},
        {"formula": "ultralytics", "no_spatial": True},
        {"formula": "external", "reduction": 2},
    ],
    ids=str,
)
def test_gradients(options: dict[str, Any], memory_format: torch.memory_format) -> None:
    module = CBAM(6, **options).double()
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=memory_format).requires_grad_()
    assert_same_gradients(module, listing, x, memory_format)
    with torch.no_grad():
        torch.testing.assert_close(module(x), listing(module, x))
    assert torch.autograd.gradcheck(module.eval(), (x,), fast_mode=True)


def test_the_fast_form_takes_any_gates() -> None:
    x = draws(5, 2, 3, 4, 2).double().requires_grad_()

    def channel_gate(mean: Tensor, largest: Tensor) -> Tensor:
        return (mean * largest).sigmoid()[:, :, None, None]

    def spatial_gate(largest: Tensor, mean: Tensor) -> Tensor:
        return (largest - mean).tanh()

    y = x * channel_gate(x.mean((2, 3)), x.amax((2, 3)))
    expected = y * spatial_gate(y.amax(1, keepdim=True), y.mean(1, keepdim=True))
    torch.testing.assert_close(fast_cbam(x, channel_gate, spatial_gate), expected)
    assert torch.autograd.gradcheck(lambda x: fast_cbam(x, channel_gate, spatial_gate), (x,))
    with torch.no_grad():
        torch.testing.assert_close(fast_cbam(x, channel_gate, spatial_gate), expected)


def test_ties_share_the_gradient() -> None:
    module = CBAM(4).double()
    x = draws(5, 2, 4, 3, 3).double().relu().round().requires_grad_()
    found, expected = (
        torch.autograd.grad(f(x).square().sum(), x)[0]
        for f in (module, lambda x: listing(module, x))
    )
    torch.testing.assert_close(found, expected)


def test_a_batch_of_several_blocks_and_an_expanded_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "models.attention.fast._blocks.STEP", 2 * 16 * 7 * 6
    )  # two images, then one
    module = CBAM(16)
    x = draws(5, 3, 16, 7, 6).requires_grad_()
    found, expected = (
        torch.autograd.grad(f(x).sum(), x)[0] for f in (module, lambda x: listing(module, x))
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_input_is_all_that_is_kept_of_its_size() -> None:
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = draws(5, 2, 64, 16, 16).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        CBAM(64)(x)
    assert sum(size >= x.nbytes for size in kept.values()) == 1


def test_batch_norm_of_the_spatial_gate_is_slow() -> None:
    gate = CBAM(8).spatial_attention
    assert gate is not None
    assert gate.bn is not None
    assert gate.bn.momentum == 0.01
    assert CBAM(8, no_spatial=True).spatial_attention is None


def test_few_channels_and_a_single_value() -> None:
    module, x = CBAM(4), draws(5, 1, 4, 1, 1)
    assert module.get_parameter("channel_attention.fc1.weight").shape == (1, 4)
    module.get_buffer("spatial_attention.bn.running_mean").fill_(3.0)
    torch.testing.assert_close(module(x), module.eval()(x))


@pytest.mark.parametrize("option", ["reduction", "kernel_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "7", True, None])
def test_impossible_numbers(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option}=.*: must be a whole number from 1 on"):
        CBAM(8, **{option: value})


def test_other_impossible_values() -> None:
    with pytest.raises(ValueError, match="kernel_size=6: must be odd, such as 7"):
        CBAM(8, kernel_size=6)
    with pytest.raises(ValueError, match="no_spatial=1: must be true or false"):
        CBAM(8, no_spatial=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction=512: is more than the 64 channels"):
        CBAM(64, reduction=512)


def test_list_spellings() -> None:
    assert read_list(CBAM, [7], 64, int) == ({"kernel_size": 7}, "")
    assert read_list(CBAM, [64, 3], 64, int) == ({"kernel_size": 3}, "")
    assert read_list(CBAM, [64, 64], 64, int) == ({}, "")
    for values in ([64, 16, 49], [16, 49]):
        expected = {"reduction": 16, "kernel_size": 49}
        assert read_list(CBAM, values, 64, int) == (expected, "")
    assert read_list(CBAM, [1], 64, int, "CBAMBlock") == ({"reduction": 1}, "")


def test_an_unknown_formula() -> None:
    with pytest.raises(ValueError, match="formula='other': must be one of paper, plain"):
        CBAM(8, formula="other")
