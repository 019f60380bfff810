"""iRMB: golden values, its windows one by one, heads that do not divide, and what it refuses."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.irmb import iRMB
from tests.models.attention.golden import Golden, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def attention_by_windows(module: iRMB, t: Tensor) -> Tensor:
    """Attention in one window and head at a time, each cut out of the map by a step.

    The map is filled up before its convolutions, so that what is added carries their biases.
    """
    w, (height, width) = module.window, t.shape[2:]
    rows, columns = -(-height // w), -(-width // w)
    t = F.pad(t, (0, columns * w - width, 0, rows * w - height))
    assert module.qk is not None
    queries, keys = module.qk.conv(t).chunk(2, 1)
    values = t if module.attn_pre else module.act(module.v.conv(t))
    out = torch.zeros_like(values)
    for top in range(rows):
        for left in range(columns):
            cut = (..., slice(top, None, rows), slice(left, None, columns))
            parts = (one[cut].chunk(module.heads, 1) for one in (queries, keys, values))
            found = []
            for q, k, v in zip(*parts, strict=True):
                logits = torch.einsum("bdi,bdj->bij", q.flatten(2), k.flatten(2))
                share = (logits / q.shape[1] ** 0.5).softmax(2)
                found.append(torch.einsum("bij,bdj->bdi", share, v.flatten(2)).reshape(v.shape))
            out[cut] = torch.cat(found, 1)
    return out[:, :, :height, :width]


def listing(module: iRMB, x: Tensor) -> Tensor:
    """The formula once more."""
    t = x if module.norm is None else module.norm(x)
    if module.qk is None:
        o = module.act(module.v.conv(t))
    elif module.attn_pre:
        o = module.act(module.v.conv(attention_by_windows(module, t)))
    else:
        o = attention_by_windows(module, t)
    local = module.conv_local.norm(module.conv_local.conv(o))
    u = local * local.sigmoid()
    if u.shape[2:] != x.shape[2:] or module.proj.conv.out_channels != x.shape[1]:
        return module.proj.conv(u)
    return x + module.proj.conv(o + u)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("irmb").check(iRMB(32, dim_head=16), "official", size)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("attn_pre", {"attn_pre": True, "dim_head": 16, "act": "gelu"}),
        ("no_attention", {"attn": False, "act": "silu"}),
    ],
)
def test_golden_of_other_forms(variant: str, options: dict[str, Any]) -> None:
    Golden("irmb").check(iRMB(32, exp_ratio=2.0, **options), variant, "7x13")


@LAYOUTS
@pytest.mark.parametrize("size", [(5, 7), (2, 9), (8, 4)])
@pytest.mark.parametrize(
    "options",
    [
        {"window": 4, "act": "gelu"},
        {"window": 2, "dim_head": 2, "exp_ratio": 1.5, "act": "silu"},
        {"window": 4, "dim_head": 3, "exp_ratio": 2, "attn_pre": True, "dw_ks": 5, "act": "silu"},
        {"window": 2, "norm_in": False, "qkv_bias": True, "act": "silu"},
        {"window": 4, "attn_pre": True, "qkv_bias": True, "act": "gelu", "out_channels": 4},
        {"window": 3, "stride": 2, "dw_ks": 5, "act": "silu"},
        {"attn": False, "stride": 2, "out_channels": 8, "norm_in": False, "act": "gelu"},
    ],
)
def test_values_and_gradients(
    options: dict[str, Any], size: tuple[int, int], layout: torch.memory_format
) -> None:
    module = iRMB(6, **options).double()
    x = draws(5, 2, 6, *size).double().contiguous(memory_format=layout).requires_grad_()
    expected = listing(module, x)
    torch.testing.assert_close(module(x), expected)
    weights = draws(6, *expected.shape).contiguous(memory_format=layout)
    inputs = [x, *module.parameters()]
    found, wanted = (
        torch.autograd.grad((out * weights).sum(), inputs) for out in (module(x), expected)
    )
    torch.testing.assert_close(found, wanted)
    assert found[0].is_contiguous(memory_format=layout)


def test_windows_are_spread_over_the_map() -> None:
    """With 2 x 2 windows a position sees those at an even distance, besides the 3 x 3 around."""
    module = iRMB(2, window=4, act="silu").double().eval()
    x = draws(5, 1, 2, 8, 8).double().requires_grad_()
    module(x)[..., 4, 4].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0) > 0
    assert bool(seen[::2, ::2].all())
    assert not bool(seen[4, 0::2].logical_not().any())


@pytest.mark.parametrize(
    ("channels", "heads", "warned"),
    [(256, 4, ""), (64, 1, ""), (32, 1, "32"), (96, 2, "48"), (100, 2, "50")],
)
def test_heads_by_default(channels: int, heads: int, warned: str) -> None:
    with warnings.catch_warnings(record=True) as said, torch.device("meta"):
        warnings.simplefilter("always")
        assert iRMB(channels).heads == heads
        iRMB(channels, dim_head=channels // heads)
    assert [str(one.message).rpartition(" ")[2] for one in said] == [warned] * bool(warned)


@pytest.mark.parametrize(("stride", "size"), [(1, (9, 8)), (2, (5, 4))])
def test_channels_and_size(stride: int, size: tuple[int, int]) -> None:
    module = iRMB(32, out_channels=48, stride=stride, qkv_bias=True)
    assert module(draws(5, 1, 32, 9, 8)).shape == (1, 48, *size)
    assert module.out_channels == 48
    assert not hasattr(iRMB(32, stride=stride, out_channels=32), "out_channels")
    biased = {key for key in module.state_dict() if key.endswith("conv.bias")}
    assert biased == {"qk.conv.bias", "v.conv.bias"}
    assert not any(key.startswith("norm.") for key in iRMB(32, norm_in=False).state_dict())


def test_names_lists_and_cost() -> None:
    assert isinstance(build_attention("IRMB", 8), iRMB)
    assert read_list(iRMB, [256], 256, int) == ({}, "")
    assert read_list(iRMB, [256, 2, 7], 256, int) == ({"exp_ratio": 2, "window": 7}, "")
    values = [128, 2, 7, 16, 5, True, "gelu", False, True, 2, True]
    found, warning = read_list(iRMB, values, 256, int)
    order = "exp_ratio window dim_head dw_ks attn_pre act norm_in attn stride qkv_bias"
    assert found == dict(zip(order.split(), values[1:], strict=True))
    assert "128" in warning  # says what the input has, and so changes no width
    counts = [
        sum(value.numel() for value in iRMB(256, exp_ratio=ratio).parameters()) for ratio in (1, 4)
    ]
    assert counts == [265_472, 667_136]


@pytest.mark.parametrize(
    "options",
    [
        {"exp_ratio": 0},
        {"exp_ratio": 0.01},
        {"exp_ratio": "2"},
        {"exp_ratio": 1.1, "dim_head": 16},
        {"window": 0},
        {"dim_head": 24},
        {"dw_ks": 4},
        {"attn_pre": 1},
        {"act": "elu"},
        {"attn": None},
        {"norm_in": 1},
        {"qkv_bias": "no"},
        {"stride": 3},
        {"out_channels": 0},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        iRMB(64, **options)
