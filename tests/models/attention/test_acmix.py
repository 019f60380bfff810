"""ACmix: golden values, both ways of computing its attention, every size, memory, and what it
refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.acmix import ACmix, position_grid
from models.attention.fast import acmix as fast
from tests.models.attention.golden import Golden, draws
from tests.models.attention.plain import force_plain


@pytest.mark.parametrize("size", ["20x20", "7x13", "4x4"])
def test_golden(size: str) -> None:
    Golden("acmix").check(ACmix(32), "official", size)


def test_golden_of_other_channels_and_strides() -> None:
    wider = ACmix(32, out_channels=48)
    assert wider.out_channels == 48
    Golden("acmix").check(wider, "out48", "7x13")
    Golden("acmix").check(ACmix(32, stride=2), "stride2", "8x12")


@pytest.mark.parametrize("size", ["20x20", "7x13", "4x4"])
def test_golden_of_what_exporters_see(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force_plain(monkeypatch)
    Golden("acmix").check(ACmix(32), "official", size)


def attention_pixel_by_pixel(module: ACmix, x: Tensor) -> Tensor:
    """The attention path from its formula, for one image with one output at a time, edges as the
    docstring says.
    """
    q, k, v = (
        layer(x)[0].unflatten(0, (module.head, -1))
        for layer in (module.conv1, module.conv2, module.conv3)
    )
    _, place, height, width = q.shape
    down, across = (torch.linspace(-1, 1, side, dtype=x.dtype) for side in (height, width))
    grid = torch.stack([across.expand(height, width), down[:, None].expand(height, width)])
    e = module.conv_p(grid[None])[0]
    reach = module.kernel_att // 2

    def inside(at: int, side: int) -> int:
        if side <= reach:
            return min(max(at, 0), side - 1)
        return abs(at) if at < side else 2 * (side - 1) - at

    rows, columns = range(0, height, module.stride), range(0, width, module.stride)
    out = x.new_zeros(module.head, place, len(rows), len(columns))
    for i, y in enumerate(rows):
        for j, across_ in enumerate(columns):
            window = range(-reach, reach + 1)
            at = [
                (inside(y + a, height), inside(across_ + b, width)) for a in window for b in window
            ]
            ys, xs = torch.tensor(at).unbind(1)
            keys = k[:, :, ys, xs] + e[:, y, across_, None] - e[:, ys, xs]
            weights = (torch.einsum("hd,hdn->hn", q[:, :, y, across_], keys) * place**-0.5).softmax(
                1
            )
            out[:, :, i, j] = torch.einsum("hn,hdn->hd", weights, v[:, :, ys, xs])
    return out.flatten(0, 1)[None] * module.rate1


@pytest.mark.parametrize(
    ("side", "options"),
    [
        ((1, 1), {}),
        ((2, 9), {}),
        ((5, 3), {"stride": 2}),
        ((11, 9), {"kernel_att": 5, "stride": 2}),
        ((17, 10), {"kernel_att": 3, "head": 3}),
        ((9, 4), {"kernel_att": 9, "head": 1}),
    ],
)
def test_every_size_against_the_formula(side: tuple[int, int], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module, x = ACmix(6, **options).double(), draws(1, 1, 6, *side).double()
    expected = attention_pixel_by_pixel(module, x)
    positions = module.conv_p(position_grid(x))[0]  # [d, H, W]
    tiled = fast.attend_in_tiles(fast.project(x, module), positions.permute(1, 2, 0), module)
    torch.testing.assert_close(tiled, expected)
    heads = (module.head, module.place)
    q, k, v = (layer(x).unflatten(1, heads) for layer in (module.conv1, module.conv2, module.conv3))
    torch.testing.assert_close(module.rate1 * module.attend(q, k - positions, v), expected)
    layers = (module.conv1, module.conv2, module.conv3)
    maps = torch.cat([layer(x).unflatten(1, (module.head, -1)) for layer in layers], 1).flatten(3)
    places = F.conv2d(maps, module.fc.weight)
    folded = module.dep_conv(places.transpose(1, 2).flatten(1, 2).unflatten(2, side))
    torch.testing.assert_close(module(x), expected + module.rate2 * folded)


def test_gradients_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "TILE", 2)
    torch.manual_seed(0)
    module, x = (
        ACmix(4, kernel_att=3, head=2).double(),
        draws(5, 1, 4, 3, 4).double().requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda x, *_: module(x), (x, *module.parameters()))


def test_images_in_parts_are_the_images_together(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module, x = ACmix(8), draws(1, 5, 8, 9, 7)
    together = module(x)
    monkeypatch.setattr(fast, "AT_ONCE", 2 * 8 * 9 * 7)
    torch.testing.assert_close(module(x), together)


def test_little_is_kept_for_backward() -> None:
    module, x = ACmix(64), draws(1, 2, 64, 40, 40).requires_grad_()
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        out = module(x)
    assert sum(kept.values()) < 6 * 4 * x.numel()  # the authors' code keeps 110 times x
    out.sum().backward()


def test_dead_parameters_are_dead_and_no_others() -> None:
    torch.manual_seed(0)
    module, x = ACmix(8).double(), draws(1, 2, 8, 9, 7).double()
    out = module(x)
    (out * draws(2, *out.shape)).sum().backward()
    sizes = {
        name: float(value.grad.abs().max())
        for name, value in module.named_parameters()
        if value.grad is not None
    }
    assert {name for name, size in sizes.items() if size < 1e-9} == {"conv_p.bias"}
    assert len(sizes) == len(list(module.parameters()))


def test_heads_fit_the_channels() -> None:
    assert [ACmix(channels).head for channels in (32, 30, 14, 7)] == [4, 3, 2, 1]
    assert sum(value.numel() for value in ACmix(256).parameters()) == 218_414


def test_a_new_convolution_path_shifts() -> None:
    kernel = ACmix(8).dep_conv.weight
    assert torch.equal(kernel.flatten(2), torch.eye(9).expand(8, 9, 9))


def test_lists_give_channels_first() -> None:
    def halved(count: int) -> int:
        return count // 2

    assert read_list(ACmix, [512, 512], 256, halved)[0] == {"out_channels": 256}
    assert read_list(ACmix, [7, 2], 256, halved)[0] == {"kernel_att": 7, "head": 2}
    assert read_list(ACmix, [], 256, halved)[0] == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_att": 512}, "kernel_att=512: must be odd, from 3 to 31.*not a channel count"),
        ({"kernel_att": 33}, "kernel_att=33"),
        ({"kernel_att": 1}, "kernel_att=1"),
        ({"kernel_att": 6}, "kernel_att=6"),
        ({"kernel_att": 7.0}, "kernel_att=7.0"),
        ({"head": 3}, "head=3: must divide the 8 output channels"),
        ({"head": 0}, "head=0"),
        ({"stride": 3}, "stride=3"),
        ({"stride": True}, "stride=True"),
        ({"out_channels": 0}, "out_channels=0"),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ACmix(8, **options)
