"""BAM: golden values, its hand-written backward pass, both ways to combine the branches, and what
it refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.bam import BAM
from models.attention.fast.bam import fast_bam
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = [torch.contiguous_format, torch.channels_last]


class BAMGolden(Golden):
    """Biases before a batch norm have no gradient but rounding, which a norm over two images
    magnifies a lot.
    """

    def compare(self, found: Tensor | None, key: str) -> None:
        if key.endswith("gradp/channel_att.fc0.bias"):
            assert key not in self.values or abs(self.values[key]).max() < 1e-12
            assert found is not None
            assert found.abs().max() < 1e-3
        else:
            super().compare(found, key)


GOLDEN = BAMGolden("bam")


def listing(module: BAM, x: Tensor) -> Tensor:
    """The formula written down once more, one operation at a time."""
    fully, conv = module.channel_att, module.spatial_att
    channel = fully.fc_final(fully.bn0(fully.fc0(x.mean((2, 3)))).relu())[:, :, None, None]
    y = conv.bn_reduce(conv.conv_reduce(x)).relu()
    y = conv.bn1(conv.conv1(conv.bn0(conv.conv0(y)).relu())).relu()
    position = conv.conv_final(y)
    return x * (
        1 + (channel * position if module.combine == "mul" else channel + position).sigmoid()
    )


@pytest.mark.parametrize(
    ("variant", "size", "combine"),
    [
        ("official", "20x20", "mul"),  # on square maps the authors' window is the whole map
        ("official", "1x1", "mul"),
        ("fixed_mul", "7x13", "mul"),
        ("fixed_mul", "13x7", "mul"),
        ("fixed_add", "20x20", "add"),
        ("fixed_add", "7x13", "add"),
        ("fixed_add", "1x1", "add"),
    ],
)
def test_golden(variant: str, size: str, combine: str) -> None:
    GOLDEN.check(BAM(32, combine=combine), variant, size)


@pytest.mark.parametrize("memory_format", LAYOUTS)
@pytest.mark.parametrize("combine", ["mul", "add"])
@pytest.mark.parametrize("options", [{}, {"reduction": 2, "dilation": 1}])
def test_gradients(
    options: dict[str, Any], combine: str, memory_format: torch.memory_format
) -> None:
    module = BAM(6, combine=combine, **options).double()
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=memory_format).requires_grad_()
    assert_same_gradients(module, listing, x, memory_format)
    assert torch.autograd.gradcheck(module.eval(), (x,), fast_mode=True)


@pytest.mark.parametrize("combine", ["mul", "add"])
def test_a_batch_of_several_blocks_and_an_expanded_gradient(
    combine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "models.attention.fast._blocks.STEP", 2 * 16 * 7 * 6
    )  # two images, then one
    module = BAM(16, combine=combine)
    x = draws(5, 3, 16, 7, 6).requires_grad_()
    found, expected = (
        torch.autograd.grad(f(x).sum(), x)[0] for f in (module, lambda x: listing(module, x))
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("multiply", [True, False])
def test_the_fast_form_takes_any_branches(multiply: bool) -> None:
    x = draws(5, 2, 3, 4, 2).double().requires_grad_()
    channel, position = x.mean((2, 3), keepdim=True), x.square().sum(1, keepdim=True)
    expected = x * (1 + (channel * position if multiply else channel + position).sigmoid())

    def fast(x: Tensor) -> Tensor:
        return fast_bam(
            x, lambda mean: mean[:, :, None, None], lambda y: y.square().sum(1, True), multiply
        )

    torch.testing.assert_close(fast(x), expected)
    assert torch.autograd.gradcheck(fast, (x,))


def test_dilation_reaches_the_convolutions() -> None:
    module = BAM(32, dilation=2)
    assert module.spatial_att.conv0.dilation == module.spatial_att.conv1.dilation == (2, 2)
    assert module(draws(5, 1, 32, 3, 9)).shape == (1, 32, 3, 9)


def test_batch_of_one_and_few_channels() -> None:
    module = BAM(4)
    assert module.channel_att.fc0.out_features == 1
    assert module.train()(draws(5, 1, 4, 6, 5)).isfinite().all()
    assert module.channel_att.bn0.num_batches_tracked == 0  # one value has no statistics
    assert module.spatial_att.bn0.num_batches_tracked == 1


@pytest.mark.parametrize("option", ["reduction", "dilation"])
@pytest.mark.parametrize("value", [0, -1, 4.0, "4", True, None])
def test_impossible_numbers(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option}=.*: must be a whole number from 1 on"):
        BAM(32, **{option: value})


def test_other_values() -> None:
    with pytest.raises(ValueError, match="combine='sum': must be mul or add"):
        BAM(32, combine="sum")
    with pytest.raises(ValueError, match="reduction=64: is more than the 32 channels"):
        BAM(32, reduction=64)
    assert read_list(BAM, [32, 8], 32, int) == ({"reduction": 8}, "")
