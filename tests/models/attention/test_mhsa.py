"""MHSA: golden values, its codes of position, how lists are read, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.mhsa import MHSA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("mhsa")
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(MHSA(32), "yolo", size)


@pytest.mark.parametrize(("variant", "code"), [("yolo_pos", True), ("paper_relpos", "relative")])
def test_golden_with_a_code_of_position(variant: str, code: bool | str) -> None:
    GOLDEN.check(MHSA(32, pos_emb=code, width=7, height=13), variant, "7x13")


def listing(module: MHSA, x: Tensor) -> Tensor:
    """The formula pixel by pixel, one head after the other."""
    batch, channels, rows, columns = x.shape
    depth, count = channels // module.heads, rows * columns
    q, k, v = (conv(x).flatten(2) for conv in (module.query, module.key, module.value))
    outs = []
    for first in range(0, channels, depth):
        head = slice(first, first + depth)
        logits = torch.zeros(batch, count, count, dtype=x.dtype)
        for i in range(count):
            for j in range(count):
                reached = k[:, head, j]
                if module.pos_emb == "relative":
                    across = module.rel_emb_w[j % columns - i % columns + columns - 1]
                    reached = reached + across
                    reached = reached + module.rel_emb_h[j // columns - i // columns + rows - 1]
                    logits[:, i, j] = (q[:, head, i] * reached).sum(1) * depth**-0.5
                    continue
                logits[:, i, j] = (q[:, head, i] * reached).sum(1)
                if module.pos_emb:
                    place = module.rel_h_weight[0, first // depth, :, 0, i % columns]
                    place = place + module.rel_w_weight[0, first // depth, :, i // columns, 0]
                    logits[:, i, j] = logits[:, i, j] + (place * q[:, head, j]).sum(1)
        outs.append(torch.einsum("bij,bcj->bci", logits.softmax(2), v[:, head]))
    return torch.cat(outs, 1).unflatten(2, (rows, columns))


@LAYOUTS
@pytest.mark.parametrize("code", [False, True, "relative"])
@pytest.mark.parametrize("heads", [1, 3])
def test_plain_calculation(layout: torch.memory_format, code: bool | str, heads: int) -> None:
    module = MHSA(6, heads=heads, pos_emb=code, width=2, height=3).double()
    x = draws(1, 2, 6, 2, 3).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_a_code_of_position_tells_places_apart() -> None:
    x = draws(1, 1, 8, 4, 5)
    for code, expected in ((False, True), (True, False), ("relative", False)):
        module = MHSA(8, pos_emb=code, width=4, height=5)
        same = torch.allclose(module(x.flip(3)).flip(3), module(x), atol=1e-5)
        assert same == expected, code


def test_no_matrix_of_all_pairs_is_kept() -> None:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    x = draws(1, 1, 32, 24, 24).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        MHSA(32)(x)
    assert max(kept.values()) <= x.numel()


@pytest.mark.parametrize("code", [True, "relative"])
@pytest.mark.parametrize("size", [(5, 4), (3, 5), (4, 6)])
def test_a_map_of_another_size_is_refused(code: bool | str, size: tuple[int, int]) -> None:
    module = MHSA(8, pos_emb=code, width=4, height=5)
    words = rf"the map is {size[0]} x {size[1]}, but the code of position 4 x 5"
    with pytest.raises(ValueError, match=words):
        module(torch.zeros(1, 8, *size))
    assert module.to("meta")(torch.zeros(1, 8, *size, device="meta")).shape == (1, 8, *size)


@pytest.mark.parametrize(("channels", "heads"), [(256, 4), (6, 3), (7, 1), (2, 2)])
def test_heads_divide_the_channels(channels: int, heads: int) -> None:
    assert MHSA(channels).heads == heads


def test_parameters_at_256() -> None:
    assert sum(parameter.numel() for parameter in MHSA(256).parameters()) == 197_376


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([], {}),
        ([256], {}),
        ([8], {"heads": 8}),
        ([256, 8], {"heads": 8}),
        ([4, True], {"heads": 4, "pos_emb": True}),
        ([4, "relative"], {"heads": 4, "pos_emb": "relative"}),
        ([14, 14, 4], {"width": 14, "height": 14, "heads": 4}),
        ([256, 14, 14, 4], {"width": 14, "height": 14, "heads": 4}),
        ([512, 7, 9, 4, True], {"width": 7, "height": 9, "heads": 4, "pos_emb": True}),
    ],
)
def test_lists_of_tutorials(values: list[Any], options: dict[str, Any]) -> None:
    assert read_list(MHSA, values, 256, lambda count: count // 2)[0] == options


@pytest.mark.parametrize(
    "options",
    [
        {"heads": 3},
        {"heads": 0},
        {"heads": "4"},
        {"pos_emb": 1},
        {"pos_emb": "table"},
        {"pos_emb": None},
        {"width": 0},
        {"height": 2.5},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MHSA(8, **options)
