"""timm's layers against their definitions."""

from __future__ import annotations

import torch
from torch import nn

from models.forks import layers


def test_whole_branches_are_dropped_and_the_mean_kept() -> None:
    torch.manual_seed(0)
    drop, x = layers.DropPath(0.25), torch.ones(4000, 3, 2)
    assert torch.equal(drop.eval()(x), x)
    out = drop.train()(x)
    assert all(len(set(one.flatten().tolist())) == 1 for one in out)
    assert set(out.flatten().tolist()) == {0.0, float(torch.tensor(1) / 0.75)}
    assert abs(float(out.mean()) - 1) < 0.03
    assert torch.equal(layers.DropPath(None).train()(x), x)


def test_pairs() -> None:
    assert layers.to_2tuple(3) == (3, 3)
    assert layers.to_3tuple([1, 2, 3]) == (1, 2, 3)


def test_channels_are_normalised_at_each_position() -> None:
    x = torch.rand(2, 8, 3, 3)
    out = layers.LayerNorm2d(8)(x)
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(1, unbiased=False), torch.ones(2, 3, 3), atol=1e-3, rtol=0)


def test_an_mlp_of_maps_equals_one_of_tokens() -> None:
    tokens = layers.Mlp(4, 8, 6).eval()
    maps = layers.Mlp(4, 8, 6, use_conv=True).eval()
    for one, other in ((maps.fc1, tokens.fc1), (maps.fc2, tokens.fc2)):
        with torch.no_grad():
            one.weight.copy_(other.weight[..., None, None])  # type: ignore[operator, index]
            one.bias.copy_(other.bias)  # type: ignore[operator, arg-type]
    x = torch.rand(1, 4, 3, 3)
    torch.testing.assert_close(maps(x), tokens(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def test_a_gate_of_the_means() -> None:
    se = layers.SqueezeExcite(8, 0.25, act_layer=nn.Identity, gate_layer=nn.Identity)
    assert se.conv_reduce.out_channels == 2
    with torch.no_grad():
        se.conv_reduce.weight.fill_(1)
        se.conv_reduce.bias.zero_()  # type: ignore[union-attr]
        se.conv_expand.weight.fill_(0.5)
        se.conv_expand.bias.zero_()  # type: ignore[union-attr]
    x = torch.rand(1, 8, 2, 2)
    torch.testing.assert_close(se(x), x * x.mean((2, 3)).sum())


def test_windows_and_back() -> None:
    x = torch.arange(2 * 4 * 6 * 3.0).view(2, 4, 6, 3)
    windows = layers.window_partition(x, 2)
    assert windows.shape == (12, 2, 2, 3)
    assert torch.equal(windows[1], x[0, :2, 2:4])
    assert torch.equal(layers.window_reverse(windows, 2, 4, 6), x)


def test_the_spread_of_normal_starts() -> None:
    torch.manual_seed(0)
    assert abs(float(layers.lecun_normal_(torch.empty(500, 100)).std()) - 0.1) < 0.005
    assert abs(float(layers.variance_scaling_(torch.empty(500, 100), 4.0).std()) - 0.2) < 0.01
