"""GAM: golden values of its three variants, what groups and rates mean, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention._arguments import read_list
from models.attention.gam import GAM
from tests.models.attention.golden import Golden, draws

VARIANTS: dict[str, dict[str, Any]] = {
    "official": {"channel_sigmoid": False},
    "channel_sigmoid": {},
    "group_shuffle": {"channel_sigmoid": False, "group": True},
}


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        (variant, size)
        for variant in VARIANTS
        for size in ("20x20", "7x13", "1x1")
        if (variant, size[0]) != ("group_shuffle", "2")
    ],
)
def test_golden(variant: str, size: str) -> None:
    Golden("gam").check(GAM(32, **VARIANTS[variant]), variant, size)


def test_the_gates_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    module = GAM(16, rate=2, group=True).eval()
    x = draws(1, 2, 16, 5, 6)
    first = module.channel_attention(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).sigmoid()
    gate = module.spatial_attention(x * first).sigmoid()
    shuffled = torch.cat([gate[:, [i, 4 + i, 8 + i, 12 + i]] for i in range(4)], 1)
    torch.testing.assert_close(module(x), x * first * shuffled)


def test_parameters_as_the_docstring_counts_them() -> None:
    assert sum(value.numel() for value in GAM(256).parameters()) == 1_639_680
    assert sum(value.numel() for value in GAM(256, group=True).parameters()) == 435_456


def test_one_image_of_one_pixel_trains_with_the_running_statistics() -> None:
    module, x = GAM(8), draws(1, 1, 8, 1, 1)
    torch.testing.assert_close(module.train()(x), module.eval()(x))


def test_hidden_channels_never_run_out() -> None:
    for channels in (1, 3, 8):
        assert GAM(channels)(draws(1, 2, channels, 3, 3)).shape == (2, channels, 3, 3)
    with pytest.raises(
        ValueError, match=r"rate=512: is more than the 8 channels; write \{rate: 4\}"
    ):
        GAM(8, rate=512)


def test_two_counts_in_a_list_are_no_rate() -> None:
    assert read_list(GAM, [512, 512], 512, lambda count: count) == ({}, "")
    assert read_list(GAM, [512, 512, 2], 512, lambda count: count) == ({"rate": 2}, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "rate=0"),
        ({"rate": True}, "rate=True"),
        ({"rate": 2.0}, "rate=2.0"),
        ({"group": 4}, "group=4"),
        ({"channel_sigmoid": "yes"}, "channel_sigmoid='yes'"),
        (
            {"group": True},
            "group=True: needs channels that divide by .* = 16 and by 4, and 24 do not",
        ),
        ({"group": True, "rate": 1}, None),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str | None) -> None:
    if message is None:
        GAM(24, **options)
        return
    with pytest.raises(ValueError, match=message):
        GAM(24, **options)


def test_borders_may_repeat_the_edge() -> None:
    module, x = GAM(8, padding_mode="replicate").eval(), draws(3, 1, 8, 5, 6)
    plain = GAM(8).eval()
    plain.load_state_dict(module.state_dict())
    conv1, norm1, relu, conv2, norm2 = module.spatial_attention
    channel = module.channel_attention(x.movedim(1, 3)).movedim(3, 1)
    y = x * channel.sigmoid()

    def edged(conv: torch.nn.Module, maps: torch.Tensor) -> torch.Tensor:
        assert isinstance(conv, torch.nn.Conv2d)
        padded = torch.nn.functional.pad(maps, (3, 3, 3, 3), mode="replicate")
        return torch.nn.functional.conv2d(padded, conv.weight, conv.bias)

    last = norm2(edged(conv2, relu(norm1(edged(conv1, y)))))
    torch.testing.assert_close(module(x), y * last.sigmoid())
    assert not torch.allclose(module(x), plain(x))
    with pytest.raises(ValueError, match="padding_mode='reflect': must be zeros or replicate"):
        GAM(8, padding_mode="reflect")  # type: ignore[arg-type]
