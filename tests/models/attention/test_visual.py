"""VisualAttention: alone, and wrapped with the same class as its unit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.attention._visual import VisualAttention
from models.attention.lka import LKA
from models.attention.msca import MSCA


class Doubling(VisualAttention):
    def __init__(self, channels: int, *, wrapped: bool = False) -> None:
        super().__init__(channels, wrapped)

    def make_layers(self, channels: int) -> None:
        self.channels = channels

    def surroundings(self, x: Tensor) -> Tensor:
        return 2 * torch.ones_like(x)


def test_alone_and_wrapped() -> None:
    x, module = torch.randn(2, 3, 4, 5), Doubling(3, wrapped=True)
    torch.testing.assert_close(Doubling(3)(x), 2 * x)
    unit = module.spatial_gating_unit
    assert isinstance(unit, Doubling)
    assert (unit.wrapped, unit.channels) == (False, 3)
    inner = torch.nn.functional.gelu(module.proj_1(x))
    torch.testing.assert_close(module(x), x + module.proj_2(2 * inner))
    with pytest.raises(ValueError, match="wrapped=1: must be true or false"):
        Doubling(3, wrapped=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [LKA, MSCA])
def test_a_wrapper_holds_the_same_layers_one_level_down(kind: type[VisualAttention]) -> None:
    plain, wrapped = set(kind(4).state_dict()), set(kind(4, wrapped=True).state_dict())
    assert {key for key in wrapped if not key.startswith("proj_")} == {
        f"spatial_gating_unit.{key}" for key in plain
    }
