"""DAttention: golden values of all positions, the formula place by place, YAML lists, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.dattention import (
    DAttention,
    apart,
    check_size,
    choose_position,
    look_up,
    offset_layers,
    padding,
    sample,
)
from tests.models.attention.golden import Golden, draws
from tests.models.attention.test_registry_export import SIZES, check_in_onnxruntime, export

GOLDEN = Golden("dattention")
LOG_CPB, FIXED_PE = {"dwc_pe": False, "log_cpb": True}, {"dwc_pe": False, "fixed_pe": True}
ORDER = ("q_size", "n_heads", "n_groups", "stride", "offset_range_factor", "use_pe", "dwc_pe")
ORDER = (*ORDER, "no_off", "fixed_pe", "ksize", "log_cpb")
FULL = [[7, 7], 4, 2, 1, 2, True, False, True, False, 5, True]
LAYOUTS = pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)


@pytest.mark.parametrize("size", [(7, 7), (6, 10)], ids=str)
def test_golden_with_a_table(size: tuple[int, int]) -> None:
    options = {"n_heads": 4, "n_groups": 2, "offset_range_factor": 2, "dwc_pe": False}
    GOLDEN.check(DAttention(32, q_size=size, **options), "rpe", f"{size[0]}x{size[1]}")


def test_golden_of_the_default() -> None:
    GOLDEN.check(DAttention(32, n_heads=4, n_groups=4), "dwc_pe", "7x13")


def test_golden_of_other_positions() -> None:
    strided = {"n_heads": 4, "n_groups": 2, "stride": 2}
    logs = DAttention(32, **strided, offset_range_factor=-1, **LOG_CPB)
    GOLDEN.check(logs, "log_cpb", "8x6")
    pooled = DAttention(32, **strided, ksize=2, no_off=True)
    GOLDEN.check(pooled, "no_off", "8x6")
    unused = GOLDEN.meta["variants"]["no_off"]["no_gradient"]
    assert set(pooled.dead_parameters) == {*unused, "proj_k.bias"}


def bilinear(maps: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """maps, [C, H, W], at points given in cells, any shape S, with zeros outside -> [C, *S]."""
    rows, columns = (torch.arange(side, dtype=maps.dtype) for side in maps.shape[1:])
    near_rows = (1 - (down[..., None] - rows).abs()).clamp(min=0)
    near_columns = (1 - (across[..., None] - columns).abs()).clamp(min=0)
    return torch.einsum("cij,...i,...j->c...", maps, near_rows, near_columns)


def grid(height: int, width: int, start: float) -> Tensor:
    """Coordinates of the cells of a map, [H * W, 2], from `start` in cells, at two per H - 1."""
    return torch.tensor(
        [
            [
                2 * (row + start) / max(height - 1, 1) - 1,
                2 * (column + start) / max(width - 1, 1) - 1,
            ]
            for row in range(height)
            for column in range(width)
        ],
        dtype=torch.float64,
    )


def places_of(module: DAttention, q: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The places of one group's q, [C / groups, H, W]: [n, 2], and the sides of their grid."""
    first, norm, _, last = module.conv_offset
    around = 0 if first.kernel_size == first.stride else first.kernel_size[0] // 2
    hidden = F.conv2d(q[None], first.weight, first.bias, first.stride, around, groups=q.shape[0])
    tokens = F.gelu(F.layer_norm(hidden[0].permute(1, 2, 0), (len(q),), *norm.norm.parameters()))
    offsets = tokens.flatten(0, 1) @ last.weight[:, :, 0, 0].T
    tall, broad = hidden.shape[2:]
    reference = grid(tall, broad, 0.5)
    if module.factor < 0:
        return (reference + offsets).clamp(-1, 1), (tall, broad)
    step = torch.tensor([max(tall - 1, 1), max(broad - 1, 1)], dtype=torch.float64)
    return reference + offsets.tanh() * module.factor / step, (tall, broad)


def bias_of(module: DAttention, group: int, places: Tensor, size: tuple[int, int]) -> Tensor:
    """The bias of a group's heads, [heads / groups, H * W, n]."""
    heads = module.heads // module.groups
    own = slice(group * heads, (group + 1) * heads)
    if module.position == "fixed_pe":
        return module.rpe_table[own]
    height, width = size
    start = grid(height, width, 0)
    start = start * torch.tensor([float(height > 1), float(width > 1)])  # a single cell is at 0
    differences = start[:, None] - places
    if module.position == "rpe":
        rows, columns = (side - 1 for side in module.rpe_table.shape[1:])
        centred = (differences / 2 + 1) / 2
        return bilinear(module.rpe_table[own], centred[..., 0] * rows, centred[..., 1] * columns)
    four = 4 * differences
    first, _, last = module.rpe_table
    logs = (
        torch.where(four < 0, -1.0, 1.0)
        * torch.log2(four.abs() + 1)
        / torch.log2(torch.tensor(8.0, dtype=torch.float64))
    )
    return (F.relu(logs @ first.weight.T + first.bias) @ last.weight.T).permute(2, 0, 1)


def listing(module: DAttention, x: Tensor) -> Tensor:
    """The formula image by image, group by group and head by head."""
    channels, (height, width) = x.shape[1], x.shape[2:]
    share, part = channels // module.heads, channels // module.groups
    images = []
    for image, q in zip(x, module.proj_q(x), strict=True):
        outs = []
        sampled, biases = [], []
        for group in range(module.groups):
            own = slice(group * part, (group + 1) * part)
            places, _ = places_of(module, q[own])
            down, across = (
                (places[:, axis] + 1) / 2 * (side - 1) for axis, side in enumerate((height, width))
            )
            sampled.append(bilinear(image[own], down, across))
            if module.position in ("rpe", "fixed_pe", "log_cpb"):
                biases.append(bias_of(module, group, places, (height, width)))
        keys = torch.cat(sampled)[None, :, :, None]  # [1, C, n, 1]
        k, v = module.proj_k(keys)[0, ..., 0], module.proj_v(keys)[0, ..., 0]
        bias = torch.cat(biases) if biases else None
        for head in range(module.heads):
            own = slice(head * share, (head + 1) * share)
            logits = q[own].flatten(1).T @ k[own] / share**0.5
            logits = logits if bias is None else logits + bias[head]
            outs.append((logits.softmax(1) @ v[own].T).T)
        images.append(torch.cat(outs).reshape(channels, height, width))
    out = torch.stack(images)
    if module.position == "dwc_pe":
        out = out + module.rpe_table(module.proj_q(x))
    return module.proj_out(out)


@LAYOUTS
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 8, 5, 4), {"n_groups": 2}),
        ((1, 4, 7, 6), {"stride": 2, "ksize": 5, "use_pe": False, "offset_range_factor": 1}),
        ((1, 6, 6, 4), {"stride": 2, "ksize": 2, "q_size": [6, 4], **FIXED_PE}),
        ((1, 4, 3, 5), {"n_groups": 1, "q_size": [4, 2], "dwc_pe": False}),
        ((2, 6, 4, 3), {"offset_range_factor": -0.5, **LOG_CPB, "n_groups": 3}),
        ((1, 4, 1, 3), {"q_size": [1, 3], "dwc_pe": False}),
    ],
    ids=str,
)
def test_the_formula_and_its_gradients(
    shape: tuple[int, ...], options: dict[str, Any], memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = DAttention(shape[1], **options).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.2 * torch.randn_like(value))
    x = draws(1, *shape).double().contiguous(memory_format=memory_format).requires_grad_()
    weights, inputs = draws(6, *shape), [x, *module.parameters()]
    outs = [module(x), listing(module, x)]
    torch.testing.assert_close(*outs)
    torch.testing.assert_close(
        *(torch.autograd.grad((out * weights).sum(), inputs) for out in outs)
    )


def test_without_offsets_it_attends_to_means() -> None:
    torch.manual_seed(0)
    module, x = DAttention(4, n_heads=1, stride=2, no_off=True), draws(1, 1, 4, 4, 6)
    means = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    q, k, v = (
        layer(maps)[0].flatten(1)
        for layer, maps in ((module.proj_q, x), (module.proj_k, means), (module.proj_v, means))
    )
    out = (q.T @ k / 2).softmax(1) @ v.T
    torch.testing.assert_close(module(x), module.proj_out(out.T.reshape(1, 4, 4, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "older exporter"])
@pytest.mark.parametrize("flags", [{"dwc_pe": False}, LOG_CPB, {"no_off": True}], ids=str)
def test_onnx_for_any_size(flags: dict[str, bool], dynamo: bool, tmp_path: Path) -> None:
    """The default is exported in test_registry_export.py."""
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    module = DAttention(16, q_size=[9, 7], **flags, stride=2).eval()
    options = {"dynamo": True} if dynamo else {"dynamo": False, "opset_version": 17}
    export(module, tmp_path / "module.onnx", dynamic=True, **options)
    check_in_onnxruntime(module, tmp_path / "module.onnx", SIZES)


def test_sampling() -> None:
    x = torch.arange(12.0).reshape(1, 2, 2, 3)  # rows 0 1 2, 3 4 5 and 6 7 8, 9 10 11
    places = torch.tensor([[-1.0, -1], [1, 1], [0, 0.5], [-3, 0]]).reshape(1, 1, 4, 2)
    expected = torch.tensor([[0.0, 5, 3, 0], [6, 11, 9, 0]])
    assert torch.equal(sample(x, places).flatten(2)[0], expected)
    assert torch.equal(look_up(x, places).flatten(2)[0], expected)
    halves = sample(x, torch.cat((places, -places)))  # two groups of one channel
    assert halves.flatten(2)[0, 1].tolist() == [11, 6, 8, 0]
    assert sample(x.half(), places).dtype == torch.float16


def test_distances_of_one_cell_start_in_the_middle() -> None:
    places = torch.tensor([0.25, -0.5]).reshape(1, 1, 1, 2)
    assert apart(torch.zeros(1, 1, 1, 2), places).tolist() == [[[[-0.25, -0.5]], [[-0.25, 1.5]]]]


def test_the_offsets_grid() -> None:
    assert (padding(2, 2), padding(3, 2), padding(9, 8), padding(1, 1)) == (0, 1, 4, 0)
    assert offset_layers(4, 3, 2)(torch.zeros(1, 4, 9, 8)).shape == (1, 2, 5, 4)


def test_maps_that_do_not_fit() -> None:
    fixed = DAttention(8, q_size=[4, 4], **FIXED_PE)
    with pytest.raises(ValueError, match=r"q_size=\(4, 4\): fixed_pe fits no map of \[4, 5\]"):
        fixed(torch.zeros(1, 8, 4, 5))
    for options in ({"ksize": 4}, {"no_off": True}):
        with pytest.raises(ValueError, match="stride=4: a map of 3x9 is smaller than one step"):
            DAttention(8, stride=4, **options)(torch.zeros(1, 8, 3, 9))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([512], {}),
        ([[20, 20]], {"q_size": [20, 20]}),
        ([512, [20, 20]], {"q_size": [20, 20]}),
        ([[20, 20], 4, 2], {"q_size": [20, 20], "n_heads": 4, "n_groups": 2}),
        ([512, 512, [20, 20], 4], {"q_size": [20, 20], "n_heads": 4}),
        (FULL, dict(zip(ORDER, FULL, strict=True))),
    ],
    ids=str,
)
def test_lists(values: list[object], expected: dict[str, object]) -> None:
    assert read_list(DAttention, values, 256, lambda count: count // 2) == (expected, "")


@pytest.mark.parametrize(
    ("flags", "position"),
    [
        ({}, "dwc_pe"),
        ({"fixed_pe": True, "log_cpb": True}, "dwc_pe"),
        ({"dwc_pe": False, "fixed_pe": True, "log_cpb": True}, "fixed_pe"),
        (LOG_CPB, "log_cpb"),
        ({"dwc_pe": False}, "rpe"),
        ({"use_pe": False, "dwc_pe": False}, "none"),
        ({"use_pe": False, "fixed_pe": True, "log_cpb": True}, "none"),
        ({"no_off": True}, "no_off"),
        ({"no_off": True, "use_pe": False}, "no_off"),
    ],
    ids=str,
)
def test_flags(flags: dict[str, bool], position: str) -> None:
    module = DAttention(8, q_size=[3, 4], **flags)
    assert module.position == position
    has_table = any(key.startswith("rpe_table") for key in module.state_dict())
    assert has_table == (position not in ("none", "no_off"))
    kinds = {key: flags.get(key, key == "dwc_pe") for key in ("dwc_pe", "fixed_pe", "log_cpb")}
    others = (flags.get("use_pe", True), flags.get("no_off", False))
    assert choose_position(*others, kinds) == position
    assert module(draws(1, 1, 8, 3, 4)).shape == (1, 8, 3, 4)


def test_names_groups_and_parameters() -> None:
    assert type(build_attention("DAttentionBaseline", 16)) is DAttention
    found = [(one.heads, one.groups) for one in map(DAttention, (64, 24, 100, 6, 7))]
    assert found == [(8, 4), (8, 4), (5, 1), (6, 3), (7, 1)]
    with torch.device("meta"):
        counts = [DAttention(256), DAttention(256, q_size=[20, 20], dwc_pe=False)]
    assert sum(value.numel() for value in counts[0].parameters()) == 266_624
    assert sum(value.numel() for value in counts[1].parameters()) == 266_624 - 2560 + 8 * 39 * 39
    assert check_size([3, 4], "rpe") == (3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q_size": [20]}, "q_size=.*height and width"),
        ({"q_size": 20}, "q_size=20"),
        ({"q_size": [20, 0]}, "q_size="),
        ({"dwc_pe": False}, "q_size=None: must be height and width"),
        ({**FIXED_PE}, "q_size=None"),
        ({"n_heads": 3}, "n_heads=3: must divide the 8 channels"),
        ({"n_groups": 3}, "n_groups=3: must divide the 8 heads"),
        ({"stride": 0}, "stride=0"),
        ({"ksize": 0}, "ksize=0"),
        ({"offset_range_factor": "2"}, "offset_range_factor='2': must be a number"),
        ({"offset_range_factor": True}, "offset_range_factor=True"),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DAttention(8, **options)


def test_lists_that_are_too_long() -> None:
    with pytest.raises(ValueError, match="at most 11 options"):
        read_list(DAttention, [*FULL, True], 256, lambda count: count)
