"""NonLocal: golden values of all modes, its start as the identity, odd and narrow maps, memory, and
what it refuses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.non_local import MODES, NonLocal
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


class VanishingGolden(Golden):
    """Biases before batch norm or softmax have no gradient, and in float32 what rounding leaves of
    the sums that the weights' gradients are made of, which are 100 and more here.
    """

    def assert_close(
        self, values: np.ndarray, expected: np.ndarray, key: str, floor: float
    ) -> None:
        vanishes = key.endswith("bias") and float(abs(expected).max()) < 1e-9
        super().assert_close(values, expected, key, 100.0 if vanishes else floor)


def listing(module: NonLocal, x: Tensor) -> Tensor:
    """The formula once more, with the matrix of all pairs."""
    query = x if module.theta is None else module.theta(x)
    q, k, v = (part.flatten(2) for part in (query, module.phi(x), module.g(x)))
    pairs = torch.einsum("bdi,bdj->bij", q, k)
    pairs = pairs / k.shape[2] if module.mode == "dot_product" else pairs.softmax(2)
    y = torch.einsum("bij,bdj->bdi", pairs, v)
    return x + module.W(y.reshape(len(x), -1, *x.shape[2:]))


def moved(module: NonLocal) -> NonLocal:
    """The module with a last layer that is not zero."""
    for seed, value in enumerate(module.W.parameters()):
        value.data = draws(seed, *value.shape)
    return module


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    module = NonLocal(32, sub_sample=False)
    VanishingGolden("nonlocal").check(module, "embedded_gaussian", size)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("sub_sample", {"inter": 8}),
        ("gaussian", {"mode": "gaussian", "sub_sample": False}),
        ("dot_product", {"mode": "dot_product", "sub_sample": False}),
    ],
)
def test_golden_of_other_forms(variant: str, options: dict[str, Any]) -> None:
    VanishingGolden("nonlocal").check(NonLocal(32, **options), variant, "7x13")


@LAYOUTS
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options", [{}, {"sub_sample": False, "bn": False}, {"inter": 9, "bn": False}]
)
def test_values_and_gradients(
    mode: str, options: dict[str, Any], layout: torch.memory_format
) -> None:
    module = moved(NonLocal(6, mode=mode, **options)).double()
    x = draws(5, 3, 6, 5, 7).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@pytest.mark.parametrize("bn", [False, True])
def test_a_new_module_changes_nothing(bn: bool) -> None:
    x = draws(2, 2, 32, 5, 6)
    assert torch.equal(NonLocal(32, bn=bn)(x), x)


def test_a_side_of_one_is_not_halved() -> None:
    module = moved(NonLocal(4, bn=False))
    x = draws(2, 1, 4, 1, 5)
    assert module.g(x).shape == (1, 2, 1, 2)
    plain = moved(NonLocal(4, bn=False, sub_sample=False))
    plain.load_state_dict(
        {key.replace(".0.", "."): value for key, value in module.state_dict().items()}
    )
    torch.testing.assert_close(module(x[..., :1]), plain(x[..., :1]))


def test_no_matrix_of_all_pairs_is_kept() -> None:
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    x = draws(1, 1, 8, 24, 24).requires_grad_()
    for mode in MODES:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            NonLocal(8, mode=mode, sub_sample=False)(x)
    assert max(sizes) <= x.numel() < (24 * 24) ** 2


def test_names_of_the_state_dict_follow_the_options() -> None:
    keys = [
        {key.rpartition(".")[0] for key in NonLocal(8, **options).state_dict()}
        for options in ({"bn": False, "sub_sample": False}, {"mode": "gaussian"})
    ]
    assert keys == [{"g", "theta", "phi", "W"}, {"g.0", "W.0", "W.1"}]


def test_lists_and_cost() -> None:
    assert isinstance(build_attention("NONLocalBlock2D", 8, inter=2), NonLocal)
    assert NonLocal(1).g[0].out_channels == 1  # type: ignore[index]
    assert read_list(NonLocal, [256], 256, int) == ({}, "")
    assert read_list(NonLocal, [256, 64], 256, int) == ({"inter": 64}, "")
    assert sum(value.numel() for value in NonLocal(256).parameters()) == 132_224


@pytest.mark.parametrize(
    "options", [{"inter": 0}, {"mode": "concatenation"}, {"sub_sample": 2}, {"bn": None}]
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        NonLocal(8, **options)
