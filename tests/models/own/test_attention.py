"""Own attention fulfils the contract of ours: channels, then options by name or in a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.attention import build_attention
from models.attention._registry import options
from models.own.attention import attention_kind, own_attention
from models.own.registry import OWN, use
from utils.errors import UserError

Write = Callable[..., Path]
MINE = """class Mine(nn.Module):
    def __init__(self, dim, reduction=16, mode="a"):
        super().__init__()
        self.dim, self.reduction, self.mode = dim, reduction, mode
        self.alpha = nn.Parameter(torch.full((2,), 3.0))
        self.out_channels = 5
    def forward(self, x):
        return x * self.alpha[0]
class Gate(nn.Module):
    def __init__(self, strength=2.0):
        super().__init__()
        self.strength = strength
    def forward(self, x):
        return x * self.strength
class Up(nn.Module):
    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=2)
"""


def scaled(channels: int) -> int:
    return channels // 4


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], {}),
        ([8], {"reduction": 8}),
        ([64], {"reduction": 64}),
        ([128], {}),  # the real number
        ([512], {}),  # the declared number
        ([512, 512], {}),
        ([512, 512, 8], {"reduction": 8}),
        ([1024, 4, "b"], {"reduction": 4, "mode": "b"}),
        ([32, 4, "b"], {"reduction": 4, "mode": "b"}),  # one too many, so the first is a count
        ([4, "b"], {"reduction": 4, "mode": "b"}),
        ([True], {"reduction": True}),
    ],
)
def test_lists(write: Write, values: list[object], found: dict[str, object]) -> None:
    use([write(MINE)])
    kind = attention_kind(OWN["Mine"])
    assert kind.from_list(values, 128, scaled) == found  # type: ignore[attr-defined]


def test_too_many_values(write: Write) -> None:
    use([write(MINE)])
    with pytest.raises(ValueError, match=r"Mine takes \(dim, reduction=16, mode='a'\)"):
        attention_kind(OWN["Mine"]).from_list([1, 2, 3], 128, scaled)  # type: ignore[attr-defined]


def test_building_by_name(write: Write) -> None:
    use([write(MINE)])
    assert own_attention("Up") is None
    assert own_attention("SimAM") is None
    kind = own_attention("Mine")
    assert kind is not None
    assert options(kind) == ["reduction", "mode"]
    module = build_attention("Mine", 64, reduction=4)
    assert type(module) is kind  # so that reports find it by its class
    assert (module.dim, module.reduction, module.mode) == (64, 4, "a")
    x = torch.rand(1, 64, 3, 3)
    assert torch.equal(build_attention("Gate", 64, strength=3.0)(x), x * 3)
    with pytest.raises(UserError, match="ratio: Mine has no such argument; it takes reduction, mo"):
        build_attention("Mine", 64, ratio=4)


def test_the_identity_leaves_the_persons_alpha_alone(write: Write) -> None:
    use([write(MINE)])
    module, x = build_attention("Mine", 64, init="identity"), torch.rand(2, 64, 3, 3)
    assert torch.equal(module(x), x)
    with torch.no_grad():
        module.identity_alpha.fill_(0.5)
    torch.testing.assert_close(module(x), 2 * x)  # half of x, half of 3 x
    gate = build_attention("Gate", 64, init="identity")
    assert torch.equal(gate(x), x)
    assert [key for key, _ in gate.named_parameters()] == ["alpha"]
