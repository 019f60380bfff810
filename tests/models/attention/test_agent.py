"""AgentAttention: golden values of both public forms, the formula agent by agent, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import build_attention
from models.attention.agent import AgentAttention, check_sides, resized_sum, softmax_of, table
from tests.models.attention.golden import Golden, assert_same_gradients, draws
from tests.simulated_cuda import Simulated, simulated_cuda

GOLDEN = Golden("agent")


@pytest.mark.parametrize("side", [10, 6, 1])
def test_golden(side: int) -> None:
    module = AgentAttention(32, num_heads=4, agent_num=9, input_resolution=side)
    GOLDEN.check(module, "official", f"{side}x{side}")


def test_golden_of_the_form_for_detection() -> None:
    module = AgentAttention(32, num_heads=4, agent_num=9, input_resolution=[7, 7])
    GOLDEN.check(module, "detection", "7x13")


def resized(one: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(one[None, None], size, mode="bilinear")[0, 0]


def biases(module: AgentAttention, head: int, agent: int, size: tuple[int, int]) -> list[Tensor]:
    """Of a head and an agent for every position: to the agent's logits, and to the position's."""
    gather = (
        module.an_bias[head, agent],
        module.ah_bias[0, head, agent],
        module.aw_bias[0, head, agent],
    )
    share = (
        module.na_bias[head, agent],
        module.ha_bias[0, head, :, :, agent],
        module.wa_bias[0, head, :, :, agent],
    )
    height, width = size
    return [
        (
            resized(places, size)
            + resized(rows, (height, 1)).expand(size)
            + resized(columns, (1, width)).expand(size)
        ).flatten()
        for places, rows, columns in (gather, share)
    ]


def listing(module: AgentAttention, x: Tensor) -> Tensor:
    """The formula head by head and agent by agent, with tokens as the paper has them."""
    channels, size = x.shape[1], (x.shape[2], x.shape[3])
    share = channels // module.heads
    q, k, v = module.qkv(x.permute(0, 2, 3, 1)).flatten(1, 2).chunk(3, 2)  # [B, M, C] each
    maps = [one.transpose(1, 2).reshape(x.shape) for one in (q, v)]
    agents = F.adaptive_avg_pool2d(maps[0], module.side).flatten(2).transpose(1, 2)  # [B, A, C]
    outs = []
    for head in range(module.heads):
        own = slice(head * share, (head + 1) * share)
        gathered, scores = [], []
        for agent in range(module.side**2):
            to_agent, to_position = biases(module, head, agent, size)
            a = agents[:, agent, None, own] * module.factor  # [B, 1, d]
            weights = ((k[..., own] * a).sum(2) + to_agent).softmax(1)
            gathered.append((weights[..., None] * v[..., own]).sum(1))
            scores.append((q[..., own] * a).sum(2) + to_position)
        shares = torch.stack(scores, 2).softmax(2)  # [B, M, A]
        outs.append(shares @ torch.stack(gathered, 1))
    out = torch.cat(outs, 2) + module.dwc(maps[1]).flatten(2).transpose(1, 2)
    return module.proj(out).transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 6, 4, 7), {"agent_num": 4, "input_resolution": [3, 5]}),
        ((1, 8, 5, 3), {"num_heads": 2, "agent_num": 9, "kernel_size": 5, "scale": -1}),
        ((2, 4, 1, 2), {"num_heads": 1, "agent_num": 1, "input_resolution": 1}),
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
    module = AgentAttention(shape[1], **options).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.2 * torch.randn_like(value))
    x = draws(1, *shape).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_tables_are_added_at_the_maps_size() -> None:
    rows, columns = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0, 10.0, 20.0]])
    found = resized_sum(
        torch.full((1, 1, 7, 7), 100.0), rows[None, None], columns[None, None], (2, 3)
    )
    assert found.tolist() == [[[100, 110, 120, 101, 111, 121]]]


@pytest.mark.parametrize("size", [(3, 20), (9, 5), (1, 1)])
def test_a_gpu_resizes_deterministically_by_products(size: tuple[int, int]) -> None:
    tables = [draws(1, 2, 5, 7, 7), draws(2, 2, 5, 4, 1), draws(3, 2, 5, 1, 6)]
    ours, weights = [one.requires_grad_() for one in tables], draws(4, 2, 5, size[0] * size[1])
    expected = resized_sum(*ours, size)
    gradients = torch.autograd.grad((expected * weights).sum(), ours)
    with simulated_cuda():
        torch.use_deterministic_algorithms(True)
        moved = [Simulated(one.detach()).requires_grad_() for one in tables]
        found = resized_sum(*moved, size)
        others = torch.autograd.grad((found * Simulated(weights)).sum(), moved)
    torch.testing.assert_close(found.held, expected)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other.held, one)


def test_tables_start_small() -> None:
    torch.manual_seed(0)
    found = table(4, 49, 7, 7).detach()
    assert float(found.std()) == pytest.approx(0.02, rel=0.05)


def test_softmax_is_wide() -> None:
    found = softmax_of(torch.zeros(1, 3, dtype=torch.float16), 1, torch.zeros(1).half())
    assert found.dtype == torch.float16
    assert float(found.sum()) == pytest.approx(1, rel=1e-3)


def test_names_heads_and_parameters() -> None:
    assert type(build_attention("Agent", 16)) is AgentAttention
    assert [AgentAttention(channels).heads for channels in (64, 100, 6)] == [8, 5, 6]
    with torch.device("meta"):
        module = AgentAttention(256)
    assert sum(value.numel() for value in module.parameters()) == 335_504
    assert check_sides("sides", 3) == check_sides("sides", [3, 3]) == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads=3: must divide the 8 channels"),
        ({"agent_num": 50}, "agent_num=50: must be a square, such as 49 or 64"),
        ({"agent_num": 0}, "agent_num=0"),
        ({"input_resolution": 0}, "input_resolution=0: must be a whole number or two"),
        ({"input_resolution": [7]}, r"input_resolution=\[7\]"),
        ({"input_resolution": [7, 2.5]}, r"input_resolution=\[7, 2.5\]"),
        ({"kernel_size": 4}, "kernel_size=4: must be odd"),
        ({"scale": None}, "scale=None: must be a number"),
        ({"scale": True}, "scale=True"),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AgentAttention(8, **options)
