"""FCA: golden values, the transform as a sum, the choice of frequencies, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.fca import FCA, FREQUENCIES, choose_frequencies
from tests.models.attention.golden import Golden, draws

GOLDEN = Golden("fca")


def listing(module: FCA, x: Tensor, method: str = "top2", size: tuple[int, int] = (7, 7)) -> Tensor:
    """The formula written down once more, with PyTorch's pooling and cosines one by one."""
    cells = nn.functional.adaptive_avg_pool2d(x, list(size))
    frequencies = choose_frequencies(method, x.shape[1])
    members = x.shape[1] // len(frequencies)
    y = []
    for channel in range(x.shape[1]):
        u, v = frequencies[channel // members]
        rows = [basis(u * (size[0] // 7), p, size[0]) for p in range(size[0])]
        columns = [basis(v * (size[1] // 7), q, size[1]) for q in range(size[1])]
        table = torch.tensor([[row * column for column in columns] for row in rows])  # float32
        y.append((cells[:, channel] * table).sum((1, 2)))
    hidden = (torch.stack(y, 1) @ module.fc[0].weight.t()).clamp_min(0)
    return x * (hidden @ module.fc[2].weight.t()).sigmoid()[:, :, None, None]


def basis(frequency: int, place: int, length: int) -> float:
    value = math.cos(math.pi * frequency * (place + 0.5) / length) / math.sqrt(length)
    return value * math.sqrt(2) if frequency else value


@pytest.mark.parametrize("size", ["20x20", "7x13", "7x7", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(FCA(32), "official", size)


def test_golden_of_other_frequencies() -> None:
    GOLDEN.check(FCA(32, reduction=4, freq_sel_method="bot4"), "bot4", "7x13")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("map_size", [(4, 5), (1, 6), (14, 9)], ids=str)
@pytest.mark.parametrize(
    ("method", "size"), [("top2", (7, 7)), ("low4", (14, 10)), ("bot8", (7, 28))], ids=str
)
def test_gradients(
    method: str,
    size: tuple[int, int],
    map_size: tuple[int, int],
    memory_format: torch.memory_format,
) -> None:
    module = FCA(8, dct_h=size[0], dct_w=size[1], reduction=2, freq_sel_method=method).double()
    x = draws(5, 3, 8, *map_size).double().contiguous(memory_format=memory_format).requires_grad_()

    def plain(module: FCA, x: Tensor) -> Tensor:
        return listing(module, x, method, size)

    torch.testing.assert_close(module(x), plain(module, x))
    weights = draws(6, *x.shape)
    inputs = [x, *module.parameters()]
    found = torch.autograd.grad((module(x) * weights).sum(), inputs)
    expected = torch.autograd.grad((plain(module, x) * weights).sum(), inputs)
    torch.testing.assert_close(found, expected)


def test_the_lowest_frequency_is_the_mean() -> None:
    module, x = FCA(4, freq_sel_method="top1", dct_h=7, dct_w=14), draws(1, 2, 4, 14, 28)
    y = x.mean((2, 3)) * math.sqrt(7 * 14)
    torch.testing.assert_close(module(x), x * module.fc(y)[:, :, None, None])


@pytest.mark.parametrize("kind", FREQUENCIES)
def test_lists_of_frequencies(kind: str) -> None:
    """32 different ones of the 49, and a shorter list is the beginning of a longer one."""
    longest = choose_frequencies(f"{kind}32", 64)
    assert len(set(longest)) == 32
    assert {number for pair in longest for number in pair} == set(range(7))
    for count in (1, 2, 4, 8, 16):
        assert choose_frequencies(f"{kind}{count}", 64) == longest[:count]


def test_first_frequencies() -> None:
    assert choose_frequencies("low4", 4) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert choose_frequencies("bot4", 4) == [(6, 6), (1, 4), (3, 4), (3, 6)]
    assert choose_frequencies("top4", 4) == [(0, 0), (0, 1), (6, 0), (0, 5)]


@pytest.mark.parametrize(("channels", "count"), [(64, 16), (16, 16), (8, 8), (100, 4), (7, 1)])
def test_the_default_fits_the_channels(channels: int, count: int) -> None:
    assert choose_frequencies(None, channels) == choose_frequencies("top16", 16)[:count]


def test_parameters_at_256() -> None:
    module = FCA(256)
    assert sum(value.numel() for value in module.parameters()) == 8_192
    assert {name: tuple(value.shape) for name, value in module.state_dict().items()} == {
        "dct_layer.weight": (256, 7, 7),
        "fc.0.weight": (16, 256),
        "fc.2.weight": (256, 16),
    }


def test_lists_of_tutorials() -> None:
    assert read_list(FCA, [256], 256, int) == ({}, "")
    expected = {"dct_h": 7, "dct_w": 7, "reduction": 16, "freq_sel_method": "low8"}
    assert read_list(FCA, [256, 7, 7, 16, "low8"], 256, int) == (expected, "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dct_h": 6}, "dct_h=6: must be 7 or more"),
        ({"dct_w": 7.0}, "dct_w=7.0: must be a whole number"),
        ({"reduction": 0}, "reduction=0"),
        ({"reduction": 64}, "reduction=64: is more than the 40 channels"),
        ({"freq_sel_method": "top3"}, "freq_sel_method='top3': must be one of top1, top2, top4"),
        ({"freq_sel_method": 16}, "freq_sel_method=16: must be one of"),
        ({"freq_sel_method": "top16"}, "does not divide the 40 channels; write top8"),
    ],
    ids=str,
)
def test_impossible_values(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FCA(40, **options)
