"""The registry, its contract, and what tutorials' argument lists mean."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from torch import Tensor, nn

from models.attention import build_attention, names
from models.attention._arguments import read_list
from models.attention._registry import ATTENTION, IGNORED, check_contract, register
from models.attention.simam import SimAM
from utils.errors import UserError


class Kernel(nn.Module):
    """Stands for modules whose tutorials give a kernel after the channels."""

    tutorial_order = ("kernel_size",)

    def __init__(self, channels: int, *, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Widening(nn.Module):
    """Stands for modules that may change the number of channels."""

    def __init__(self, channels: int, *, out_channels: int | None = None, heads: int = 4) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Keeping(Widening):
    """Stands for modules that may change it, although public lists give that of the input."""

    keeps_channels = True


class Grouped(Kernel):
    """Stands for modules whose first option has values as large as a channel count."""

    tutorial_order = ("groups", "shuffle")
    other_orders = ((IGNORED, "groups", "shuffle"),)
    usual_values = (8, 16, 128)
    list_defaults: ClassVar[dict[str, int]] = {"groups": 4}

    def __init__(self, channels: int, *, groups: int = 1, shuffle: bool = True) -> None:
        super().__init__(channels)


def halved(channels: int) -> int:
    return channels // 2


@pytest.mark.parametrize(
    ("kind", "values", "expected", "warned"),
    [
        (SimAM, [], {}, False),
        (SimAM, [1e-4], {"e_lambda": 1e-4}, False),
        (SimAM, [512], {}, False),
        (SimAM, [256], {}, False),
        (SimAM, [512, 1e-3], {"e_lambda": 1e-3}, False),
        (SimAM, [512, 512], {}, False),
        (SimAM, [128], {}, True),
        (SimAM, [512, 256], {"e_lambda": 256}, False),
        (Kernel, [512, 512], {}, False),
        (Kernel, [512, 3], {"kernel_size": 3}, False),
        (Kernel, [7], {"kernel_size": 7}, False),
        (Widening, [512, 512], {"out_channels": 256}, False),
        (Widening, [128, 1], {"out_channels": 64, "heads": 1}, False),
        (Widening, [1], {"heads": 1}, False),
        (Widening, [512, 128, 2], {"out_channels": 64, "heads": 2}, False),
        (Widening, [256, 128, 2], {"out_channels": 128, "heads": 2}, False),
        (Keeping, [512], {}, False),
        (Keeping, [128, 1], {"heads": 1}, True),
        (Grouped, [8], {"groups": 8}, False),
        (Grouped, [512, 8], {"groups": 8}, False),
        (Grouped, [256, 8], {"groups": 8}, False),
        (Grouped, [8, True], {"groups": 8, "shuffle": True}, False),
        (Grouped, [64], {"groups": 4}, True),
        (Grouped, [128], {"groups": 4}, True),
        (Grouped, [16, 8, False], {"groups": 8, "shuffle": False}, False),
    ],
)
def test_lists_mean_what_their_authors_meant(
    kind: Any, values: list[Any], expected: dict[str, Any], warned: bool
) -> None:
    given = list(values)
    arguments, note = read_list(kind, values, 256, halved)
    assert (arguments, bool(note)) == (expected, warned)
    assert values == given


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 1 options \(e_lambda\)"):
        read_list(SimAM, [512, 1e-4, 3], 256, halved)


class Positional(nn.Module):
    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()


class Demanding(nn.Module):
    def __init__(self, channels: int, *, reduction: int) -> None:
        super().__init__()


class Nameless(nn.Module):
    def __init__(self, c1: int) -> None:
        super().__init__()


class TwoInputs(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class WrongOrder(Kernel):
    tutorial_order = ("kernel",)  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Positional, Demanding, Nameless, TwoInputs, WrongOrder])
def test_the_contract_is_checked(kind: type[nn.Module]) -> None:
    with pytest.raises(TypeError, match=kind.__name__):
        check_contract(kind)


def test_a_name_can_be_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.attention._registry.ATTENTION", dict(ATTENTION))
    register("KernelAttention")(Kernel)
    with pytest.raises(ValueError, match="Kernel is registered twice"):
        register()(Kernel)
    assert "Kernel" not in ATTENTION


def test_building_by_name() -> None:
    assert "SimAM" in names()
    module = build_attention("SimAM", 8, e_lambda=0.1)
    assert isinstance(module, SimAM)
    assert module.e_lambda == 0.1
    with pytest.raises(UserError, match="SimAn: no such attention module; did you mean SimAM"):
        build_attention("SimAn", 8)
    with pytest.raises(
        UserError, match="lambda: SimAM has no such argument; it takes e_lambda, init; did you"
    ):
        build_attention("SimAM", 8, **{"lambda": 1})
