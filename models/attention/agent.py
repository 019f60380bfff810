"""AgentAttention: a few agents gather from the whole map, and every position asks the agents.

Han, Ye, Han, Xia, Pan, Wan, Song and Huang, "Agent Attention: On the Integration of Softmax and
Linear Attention", ECCV 2024, https://arxiv.org/abs/2312.08874, equations 4 to 6. q, k and v are
linear at each position, in heads of d channels, and the A = s * s agents a are the means of q over
s x s cells of the map. With p over positions,

    agent values  u_a = sum over p of softmax_p(d^-0.5 a . k_p + B1_ap) v_p
    attention     o_p = sum over a of softmax_a(d^-0.5 q_p . a + B2_pa) u_a
    out = proj(o + depthwise convolution of v)

Each of the biases B1 and B2 is the sum of a table of 7 x 7 places, one of rows and one of columns
for every head and agent, resized to the map bilinearly.

[B, C, H, W] -> [B, C, H, W]. Cost: 4 C^2 + (kernel_size^2 + 5) C + 2 h A (49 + H0 + W0) parameters,
335,504 at 256 channels, 8 heads h, 49 agents and tables of rows H0 and columns W0 of 20 each. Time
and memory grow with the number of positions, not with its square.

Choices: this is the authors' form for detection, which takes maps of any size. Where the map has
the size of the tables, it is their form for classification too. Tables of 20 x 20 fit the map of
stride 32 of a 640 px image. The agents are means over the cells of adaptive pooling.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -14.65 (-20.75 to -8.55), 3 seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_odd, choose_divisor, is_count
from models.attention._maps import apply_at_positions, cell_weights, without_autocast
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import traced
from models.attention.fast._blocks import like

USUAL_HEADS, PLACES = 8, 7  # PLACES: sides of the tables of places


@register("Agent", "Agent_Attention")
class AgentAttention(nn.Module):
    """Replaces each position by a mixture of what the agents gathered.

    Args:
        channels: C, of the map.
        num_heads: a divisor of the channels; None means 8, or the largest divisor below it.
        agent_num: A, the number of agents, a square.
        input_resolution: rows and columns of the tables of rows and columns, or one number for
            both.
        kernel_size: side in positions of the depthwise convolution, odd.
        scale: the exponent of d in the logits.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("num_heads", "agent_num", "input_resolution")
    usual_values = (8, 16)

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int | None = None,
        agent_num: int = 49,
        input_resolution: int | Sequence[int] = 20,
        kernel_size: int = 3,
        scale: float = -0.5,
    ) -> None:
        super().__init__()
        what = f"the {channels} channels"
        heads = self.heads = choose_divisor("num_heads", num_heads, channels, USUAL_HEADS, what)
        self.side = math.isqrt(check_count("agent_num", agent_num, 49))
        if self.side**2 != agent_num:
            near = f"{self.side**2} or {(self.side + 1) ** 2}"
            raise ValueError(f"agent_num={agent_num}: must be a square, such as {near}")
        rows, columns = check_sides("input_resolution", input_resolution)
        if isinstance(scale, bool) or not isinstance(scale, (int, float)):
            raise ValueError(f"scale={scale!r}: must be a number, such as -0.5")
        self.factor = (channels // heads) ** scale
        side = check_odd("kernel_size", kernel_size)
        self.an_bias = table(heads, agent_num, PLACES, PLACES)
        self.na_bias = table(heads, agent_num, PLACES, PLACES)
        self.ah_bias = table(1, heads, agent_num, rows, 1)
        self.aw_bias = table(1, heads, agent_num, 1, columns)
        self.ha_bias = table(1, heads, rows, 1, agent_num)
        self.wa_bias = table(1, heads, 1, columns, agent_num)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.dwc = nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        query, key, value = apply_at_positions(self.qkv, x).chunk(3, 1)
        q, k, v = (self.split(one.flatten(2)) for one in (query, key, value))  # [B, h, d, M]
        agents = self.split(self.pool(query)).transpose(2, 3) * self.factor  # [B, h, A, d]
        size = x.shape[2:]
        gather = resized_sum(self.an_bias, self.ah_bias[0], self.aw_bias[0], size)
        rows, columns = self.ha_bias[0].permute(0, 3, 1, 2), self.wa_bias[0].permute(0, 3, 1, 2)
        share = resized_sum(self.na_bias, rows, columns, size)  # [h, A, M], like gather
        gathered = softmax_of(agents @ k + gather, 3, v) @ v.transpose(2, 3)  # [B, h, A, d]
        out = gathered.transpose(2, 3) @ softmax_of(agents @ q + share, 2, v)  # [B, h, d, M]
        out = like(out.reshape(value.shape), x) + self.dwc(value)
        return apply_at_positions(self.proj, out).to(x.dtype)

    def split(self, maps: Tensor) -> Tensor:
        """[B, C, N] -> [B, h, d, N], in heads."""
        batch, channels, length = maps.shape
        return maps.reshape(batch, self.heads, channels // self.heads, length)

    def pool(self, query: Tensor) -> Tensor:
        """The agents: [B, C, H, W] -> [B, C, A], as adaptive average pooling gives them."""
        down, across = (cell_weights(length, self.side, query) for length in query.shape[2:])
        return (down @ query @ across.T).flatten(2)

    def extra_repr(self) -> str:
        return f"num_heads={self.heads}, agent_num={self.side**2}"


def table(*shape: int) -> nn.Parameter:
    """Return a table of biases, normal of standard deviation 0.02 without its tails."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def resized_sum(places: Tensor, rows: Tensor, columns: Tensor, size: Sequence[int]) -> Tensor:
    """Resize tables to a map bilinearly and add them.

    Args:
        places: [h, A, 7, 7].
        rows: [h, A, H0, 1].
        columns: [h, A, 1, W0].
        size: height and width of the map.

    Returns:
        The bias of each head, agent and position, [h, A, H * W].
    """
    height, width = size
    total = resized(places, (height, width)) + resized(rows, (height, 1))
    return (total + resized(columns, (1, width))).flatten(2)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps [h, A, P, Q] bilinearly to size, [h, A, H, W].

    Where a GPU must compute deterministically, interpolate() is a hundred small operations; two
    products with fixed weights give the same sums.
    """
    if traced(maps) or maps.is_cpu or not torch.are_deterministic_algorithms_enabled():
        return F.interpolate(maps, size=size, mode="bilinear")
    down, across = (
        bilinear_weights(old, new, maps.dtype, maps.device)
        for old, new in zip(maps.shape[2:], size, strict=True)
    )
    with without_autocast(maps):
        return down @ maps @ across.T


@lru_cache(maxsize=64)
def bilinear_weights(length: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The weights of each of `length` positions in a side of `size`, [size, length].

    Args:
        length, size: positions before and after.
        dtype: of the weights.
        device: of the weights, which are made on the CPU and copied once.

    Returns:
        The same tensor for the same arguments, which must not be changed.
    """
    with torch.inference_mode(False), torch.no_grad():
        single = torch.eye(length, dtype=wide(dtype))[None, :, :, None]  # a map for each position
        weights = F.interpolate(single, size=(size, 1), mode="bilinear")[0, :, :, 0].T
        weights = weights.contiguous().to(dtype)
        if device.type == "cuda":  # otherwise the host would wait for the copy
            weights = weights.pin_memory()
        return weights.to(device, non_blocking=True)


def softmax_of(logits: Tensor, dim: int, like: Tensor) -> Tensor:
    """Softmax over dim in float32 at least, in the type of like."""
    return logits.softmax(dim, dtype=wide(logits.dtype)).to(like.dtype)


def check_sides(name: str, value: object) -> tuple[int, int]:
    """Return rows and columns: a number for both, or a list of two. Raises ValueError."""
    sides = (value, value) if is_count(value) else value
    if not isinstance(sides, (list, tuple)) or len(sides) != 2 or not all(map(is_count, sides)):
        raise ValueError(f"{name}={value!r}: must be a whole number or two, such as [20, 20]")
    return sides[0], sides[1]
