"""BiLevelRoutingAttention: golden values of both public forms, the formula window by window, the
routing, YAML lists, memory, and what is refused.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.biformer import BiLevelRoutingAttention
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("biformer")
pytestmark = pytest.mark.filterwarnings("ignore:BiLevelRoutingAttention")


@pytest.mark.parametrize("size", ["14x14", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(BiLevelRoutingAttention(32, num_heads=4), "official", size)


class SecondForm(nn.Module):
    """The same layers under the names of the authors' second form."""

    def __init__(self, module: BiLevelRoutingAttention) -> None:
        super().__init__()
        self.lepe, self.output_linear = module.lepe, module.wo
        self.qkv_linear = module.qkv["qkv"]
        self.same = [module]

    def forward(self, x: Tensor) -> Tensor:
        return self.same[0](x)


def test_golden_of_the_second_form() -> None:
    module = BiLevelRoutingAttention(32, num_heads=4, side_dwconv=5)
    GOLDEN.check(SecondForm(module), "nchw", "14x21")


def listing(module: BiLevelRoutingAttention, x: Tensor) -> Tensor:
    """The formula window by window and head by head, with tokens as the paper has them."""
    n, (height, width), channels = module.n_win, x.shape[2:], x.shape[1]
    tall, broad = -(-height // n), -(-width // n)  # of a window
    padded = F.pad(x, (0, n * broad - width, 0, n * tall - height))
    tokens = module.qkv["qkv"](padded.permute(0, 2, 3, 1))  # [B, H, W, 3 C]
    share = channels // module.heads
    images = []
    for image in tokens:
        windows = [
            image[row * tall : (row + 1) * tall, column * broad : (column + 1) * broad].flatten(
                0, 1
            )
            for row in range(n)
            for column in range(n)
        ]
        q, k, v = torch.stack(windows).chunk(3, 2)  # [n^2, P, C] each
        kept = (q.mean(1) @ k.mean(1).T).topk(module.topk).indices
        out = torch.zeros(n * tall, n * broad, channels, dtype=x.dtype)
        for window, chosen in enumerate(kept):
            keys, values = k[chosen].flatten(0, 1), v[chosen].flatten(0, 1)
            heads = []
            for head in range(module.heads):
                part = slice(head * share, (head + 1) * share)
                logits = q[window][:, part] @ keys[:, part].T / channels**0.5
                heads.append(logits.softmax(1) @ values[:, part])
            row, column = divmod(window, n)
            block = out[row * tall : (row + 1) * tall, column * broad : (column + 1) * broad]
            block.copy_(torch.cat(heads, 1).reshape(tall, broad, channels))
        images.append(out)
    side = module.lepe.weight.shape[-1]
    around = F.conv2d(
        tokens[..., 2 * channels :].permute(0, 3, 1, 2),
        module.lepe.weight,
        module.lepe.bias,
        padding=side // 2,
        groups=channels,
    )
    both = torch.stack(images) + around.permute(0, 2, 3, 1)
    return module.wo(both[:, :height, :width]).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 6, 6, 8), {"num_heads": 3, "n_win": 2, "topk": 1}),
        ((1, 4, 5, 7), {"n_win": 3, "topk": 5, "side_dwconv": 1}),
        ((2, 8, 9, 4), {"num_heads": 1, "n_win": 1, "topk": 1, "side_dwconv": 5}),
        ((1, 12, 4, 4), {"n_win": 2, "topk": 4}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)
def test_the_formula_and_its_gradients(
    shape: tuple[int, ...], options: dict[str, Any], memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = BiLevelRoutingAttention(shape[1], **options).double()
    x = draws(1, *shape).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_all_windows_kept_is_plain_attention() -> None:
    """With every window kept, each position attends to the whole map."""
    torch.manual_seed(0)
    module, x = BiLevelRoutingAttention(8, n_win=2, topk=4).double(), draws(1, 1, 8, 4, 6).double()
    q, k, v = module.qkv["qkv"](x.flatten(2).transpose(1, 2)).reshape(1, 24, 3, 8, 1).unbind(2)
    logits = torch.einsum("bihd,bjhd->bhij", q, k) / 8**0.5
    out = torch.einsum("bhij,bjhd->bhdi", logits.softmax(3), v).reshape(1, 8, 4, 6)
    around = module.lepe(v.reshape(1, 24, 8).transpose(1, 2).reshape(1, 8, 4, 6))
    expected = module.wo((out + around).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_chooses_the_same_windows(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module, x = BiLevelRoutingAttention(32).to(dtype), draws(1, 2, 32, 14, 14).to(dtype)
    chosen = module.route(x)
    assert torch.equal(module.float().route(x.float()), chosen)
    with torch.autocast("cpu", dtype):
        assert torch.equal(module.route(x.float()), chosen)


def test_a_map_smaller_than_its_windows_is_warned_of() -> None:
    module = BiLevelRoutingAttention(8)
    with pytest.warns(UserWarning, match=r"map of 5x9 hold padding only; write \{n_win: 2\}"):
        module(draws(1, 1, 8, 5, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(draws(1, 1, 8, 7, 9))


def test_padding_can_be_refused() -> None:
    module = BiLevelRoutingAttention(8, auto_pad=False)
    assert module(draws(1, 1, 8, 14, 7)).shape == (1, 8, 14, 7)
    with pytest.raises(ValueError, match=r"auto_pad=False: n_win=7 must divide .* 14x8"):
        module(draws(1, 1, 8, 14, 8))


def test_little_is_kept_for_backward() -> None:
    """The gathered keys and values, 2 topk maps, and few maps more: no logits."""
    module, x = BiLevelRoutingAttention(64), draws(1, 2, 64, 42, 42).requires_grad_()
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        module(x)
    assert sum(kept.values()) < 16 * 4 * x.numel()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([256], {}),
        ([256, 256], {}),
        ([7], {"n_win": 7}),
        ([8, 7], {"n_win": 7, "num_heads": 8}),
        ([7, 8], {"n_win": 7, "num_heads": 8}),
        ([4, 8, 2], {"n_win": 4, "num_heads": 8, "topk": 2}),
        ([1024, 7, 8, 4], {"n_win": 7, "num_heads": 8, "topk": 4}),
    ],
    ids=str,
)
def test_lists(values: list[object], expected: dict[str, object]) -> None:
    assert read_list(BiLevelRoutingAttention, values, 256, lambda count: count) == (expected, "")


def test_names_heads_and_parameters() -> None:
    for name in ("BRA", "BiFormer", "nchwBRA", "BiLevelRoutingAttention_nchw"):
        assert type(build_attention(name, 16)) is BiLevelRoutingAttention
    heads = [BiLevelRoutingAttention(channels).heads for channels in (64, 100, 36, 7)]
    assert heads == [8, 5, 6, 7]
    with torch.device("meta"):
        module = BiLevelRoutingAttention(256)
    assert sum(value.numel() for value in module.parameters()) == 265_728


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads=3: must divide the 8 channels"),
        ({"n_win": 0}, "n_win=0"),
        ({"n_win": 2.0}, "n_win=2.0"),
        ({"topk": 0}, "topk=0"),
        ({"n_win": 2, "topk": 5}, "topk=5: must be at most 4"),
        ({"side_dwconv": 2}, "side_dwconv=2: must be odd"),
        ({"auto_pad": 1}, "auto_pad=1: must be true or false"),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BiLevelRoutingAttention(8, **options)


def test_lists_that_are_too_long() -> None:
    with pytest.raises(ValueError, match="at most 3 options"):
        read_list(BiLevelRoutingAttention, [7, 8, 4, 4], 256, lambda count: count)
