"""scSE: golden values, its hand-written backward pass, ties, memory, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.fast.scse import larger_product
from models.attention.scse import scSE
from tests.models.attention.golden import Golden, assert_same_gradients, draws
from tests.models.attention.plain import force_plain

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: scSE, x: Tensor) -> Tensor:
    """The formula once more, one operation at a time."""
    hidden = module.cSE.fc1(x.mean((2, 3))).relu()
    by_channel = x * module.cSE.fc2(hidden).sigmoid()[:, :, None, None]
    by_position = x * module.sSE.conv(x).sigmoid()
    if module.fuse == "add":
        return by_channel + by_position
    return torch.max(by_channel, by_position)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
@pytest.mark.parametrize("plain", [False, True])
def test_golden(size: str, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain:
        force_plain(monkeypatch)
    Golden("scse").check(scSE(32), "official", size)


def test_golden_of_the_sum() -> None:
    Golden("scse").check(scSE(32, reduction=16, fuse="add"), "add", "7x13")


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"fuse": "add"}, {"reduction": 16}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = scSE(6, **options).double()
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_ties_share_the_gradient() -> None:
    """Zeros, as ReLU leaves them, make both products equal."""
    module = scSE(4).double()
    x = draws(5, 2, 4, 3, 3).double().relu().requires_grad_()
    assert bool((x == 0).any())
    assert_same_gradients(module, listing, x, torch.contiguous_format)


def test_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.attention.fast._blocks.STEP", 2 * 3 * 4 * 5)  # two images, then one
    x, first, second = (
        draws(seed, *shape).double().requires_grad_()
        for seed, shape in enumerate([(3, 3, 4, 5), (3, 3, 1, 1), (3, 1, 4, 5)])
    )
    found = larger_product(x, first, second)
    torch.testing.assert_close(found, torch.max(x * first, x * second))
    assert torch.autograd.gradcheck(larger_product, (x, first, second))


def test_one_map_is_kept() -> None:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    x = draws(1, 2, 32, 16, 16).requires_grad_()
    for fuse in ("max", "add"):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            scSE(32, fuse=fuse)(x)
        assert sum(kept.values()) < 1.5 * x.numel()


def test_names_lists_and_cost() -> None:
    assert isinstance(build_attention("SCSEModule", 8, reduction=16, fuse="add"), scSE)
    assert scSE(8, reduction=16).cSE.fc1.out_features == 1
    assert read_list(scSE, [256, 16, "add"], 256, int) == ({"reduction": 16, "fuse": "add"}, "")
    assert sum(value.numel() for value in scSE(256).parameters()) == 66_177


@pytest.mark.parametrize("options", [{"reduction": 0}, {"reduction": 64}, {"fuse": "mean"}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        scSE(8, **options)
