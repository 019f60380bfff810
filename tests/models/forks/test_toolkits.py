"""mmcv's builders give the modules of torch.nn that their configurations name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.forks import toolkits
from models.forks.layers import DropPath


@pytest.mark.parametrize(
    ("cfg", "name", "kind"),
    [
        ({"type": "BN", "eps": 1e-3}, "bn1", nn.BatchNorm2d),
        ({"type": "SyncBN", "requires_grad": False}, "bn1", nn.SyncBatchNorm),
        ({"type": "GN", "num_groups": 4}, "gn1", nn.GroupNorm),
        ({"type": "LN"}, "ln1", nn.LayerNorm),
    ],
)
def test_norms(cfg: dict[str, object], name: str, kind: type[nn.Module]) -> None:
    found, norm = toolkits.build_norm_layer(cfg, 8, 1)
    assert (found, type(norm)) == (name, kind)
    assert getattr(norm, "eps", None) == cfg.get("eps", 1e-5)
    assert all(one.requires_grad is cfg.get("requires_grad", True) for one in norm.parameters())


def test_other_builders() -> None:
    act = toolkits.build_activation_layer({"type": "LeakyReLU", "negative_slope": 0.2})
    assert isinstance(act, nn.LeakyReLU)
    assert act.negative_slope == 0.2
    assert isinstance(toolkits.build_activation_layer({"type": "Swish"}), nn.SiLU)
    assert isinstance(toolkits.build_conv_layer({"type": "Conv1d"}, 2, 3, 1), nn.Conv1d)
    assert isinstance(toolkits.build_conv_layer(None, 2, 3, 1, bias=False), nn.Conv2d)
    dropout = toolkits.build_dropout({"type": "DropPath", "drop_prob": 0.3})
    assert isinstance(dropout, DropPath)
    assert dropout.drop_prob == 0.3


def test_convolution_norm_activation_in_the_given_order() -> None:
    x, norm = torch.rand(1, 2, 5, 5), {"type": "BN"}
    after = toolkits.ConvModule(2, 4, 3, 2, 1, norm_cfg=norm).eval()
    assert after.conv.bias is None
    assert torch.equal(after(x), after.bn(after.conv(x)).relu())
    assert after(x).shape == (1, 4, 3, 3)
    first = toolkits.ConvModule(
        2, 4, 1, norm_cfg=norm, act_cfg={"type": "Sigmoid"}, order=("act", "norm", "conv")
    ).eval()
    assert torch.equal(first(x), first.conv(first.norm(x.sigmoid())))  # type: ignore[misc]
    plain = toolkits.ConvModule(2, 4, 1, act_cfg=None)
    assert torch.equal(plain(x), plain.conv(x))
    assert plain.conv.bias is not None


def test_depthwise_separable() -> None:
    module = toolkits.DepthwiseSeparableConvModule(2, 4, 3, padding=1, norm_cfg={"type": "BN"})
    assert module.depthwise_conv.conv.groups == 2
    assert module(torch.rand(2, 2, 5, 5)).shape == (2, 4, 5, 5)


def test_starts_of_weights() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(200, 200)
    toolkits.constant_init(layer, 3, 2)
    assert set(layer.weight.flatten().tolist()) == {3.0}
    assert set(layer.bias.tolist()) == {2.0}
    for start in (toolkits.normal_init, toolkits.trunc_normal_init):
        start(layer, std=0.1)
        assert float(layer.weight.std()) == pytest.approx(0.1, rel=0.05)
        assert not layer.bias.any()
    toolkits.xavier_init(layer)
    assert float(layer.weight.std()) == pytest.approx((2 / 400) ** 0.5, rel=0.05)
    toolkits.kaiming_init(layer)
    assert float(layer.weight.std()) == pytest.approx(0.1, rel=0.05)


def test_registries_leave_classes_as_they_are() -> None:
    registry = toolkits.Registrar()
    assert registry.register_module()(nn.Linear) is nn.Linear
    assert registry.register_module(nn.Linear) is nn.Linear


def test_containers_take_init_cfg() -> None:
    inner = toolkits.ModuleList([nn.Identity()], init_cfg={"type": "Normal"})
    whole = toolkits.Sequential(*inner, init_cfg=None)
    assert len(inner) == len(whole) == 1
    base = toolkits.BaseModule({"type": "Normal"})
    base.init_weights()
    assert base.init_cfg == {"type": "Normal"}
