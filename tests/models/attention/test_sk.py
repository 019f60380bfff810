"""SK: golden values, single images, what fits and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention.sk import SK
from tests.models.attention.golden import Golden, draws

GOLDEN = Golden("sk")


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(SK(32, groups=1), "timm", size)


def test_paths_are_chosen_between() -> None:
    module = SK(8, groups=4).eval()
    torch.nn.init.zeros_(module.attn.fc_select.weight)
    x = draws(1, 2, 8, 5, 6)
    torch.testing.assert_close(module(x), (module.paths[0](x) + module.paths[1](x)) / 2)


@pytest.mark.parametrize("size", [(5, 4), (1, 1)])
def test_one_image_in_training(size: tuple[int, int]) -> None:
    out = SK(8).train()(draws(1, 1, 8, *size))
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ("channels", "groups", "width"), [(256, 32, 32), (48, 24, 32), (40, 20, 32), (1024, 32, 64)]
)
def test_defaults(channels: int, groups: int, width: int) -> None:
    with torch.device("meta"):
        module = SK(channels)
    assert [
        path.get_submodule("conv").extra_repr().count(f"groups={groups}") for path in module.paths
    ] == [1, 1]
    assert module.attn.fc_reduce.out_channels == width


def test_parameters_at_256() -> None:
    assert sum(parameter.numel() for parameter in SK(256).parameters()) == 62_528


@pytest.mark.parametrize(
    "option",
    [
        {"reduction": 0},
        {"reduction": 1.5},
        {"rd_channels": 0},
        {"rd_channels": True},
        {"groups": 3},
        {"groups": 0},
        {"groups": 2.0},
        {"groups": "2"},
    ],
)
def test_impossible_values(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))}="):
        SK(32, **option)
