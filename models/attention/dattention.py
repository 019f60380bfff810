"""DAttention, deformable attention: each position attends to places that the map itself chooses.

Xia, Pan, Song, Li and Huang, "Vision Transformer with Deformable Attention", CVPR 2022,
https://arxiv.org/abs/2201.00520, equations 4 to 9. q is a 1x1 convolution of x. For each group of
channels, with a grid of Hk x Wk reference places,

    offset = conv1x1(gelu(layer norm(depthwise conv of stride `stride` of q)))
    place  = reference + tanh(offset) * offset_range_factor / (Hk - 1 or Wk - 1)
    k, v   = 1x1 convolutions of x, sampled bilinearly at the places
    out    = proj_out(softmax(q . k / sqrt(d) + bias) v + position)

in heads of d channels, where the heads of a group share their places. Coordinates go from -1 to 1
between the centres of the outermost cells, and what is sampled outside is zero.

[B, C, H, W] -> [B, C, H, W]. Cost: 4 C^2 + 4 C + (ksize^2 + 5) C / groups parameters and those of
the position, 266,624 at 256 channels; time grows with H W Hk Wk.

Choices, as in the authors' code: reference place i is at (2 i + 1) / (Hk - 1) - 1, half a cell
further than its centre would be; a negative offset_range_factor means offsets as they are, with
places clamped to the map. A side of one place, where that code divides by zero, has its place in
the middle. Places are computed in float32 at least. proj_k.bias has no gradient: a softmax does not
depend on what is added to all logits.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -11.46 (-17.60 to -5.32), 3 seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_flag, choose_divisor, is_count
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast._blocks import like

WITHOUT_TABLE = ("none", "no_off")
USUAL_HEADS, USUAL_GROUPS, HIDDEN = 8, 4, 32
OFFSET_LAYERS = ("0.weight", "0.bias", "1.norm.weight", "1.norm.bias", "3.weight")


class _ChannelNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Layer norm over the channels of each position, [B, C, H, W] -> [B, C, H, W]."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).to(x.dtype)


@register("DAttentionBaseline", "DAT")
class DAttention(nn.Module):
    """Replaces each position by a mixture of places that it chose.

    Args:
        channels: C, of the map.
        q_size: height and width of the map, which the tables of positions need; maps of another
            size stretch that of relative positions.
        n_heads: a divisor of the channels; None means 8, or the largest divisor below it.
        n_groups: groups of heads with places of their own; None means 4, or the largest divisor of
            the heads below it.
        stride: of the grid of places.
        offset_range_factor: how far places move, in steps of their grid; see above for negatives.
        use_pe: whether there is a position: the first of the next three that is set, or else a
            table by relative position.
        dwc_pe: a depthwise 3x3 convolution of q.
        no_off: neither offsets nor a position; keys are means of cells of stride x stride, and
            conv_offset has no gradient.
        fixed_pe: a table of all pairs of query and key.
        ksize: side in positions of the convolution of the offsets.
        log_cpb: two layers on the logarithm of the relative position.

    Raises:
        ValueError: An option has another value, or a table has no q_size.
    """

    dead_parameters: tuple[str, ...] = ("proj_k.bias",)

    def __init__(
        self,
        channels: int,
        *,
        q_size: Sequence[int] | None = None,
        n_heads: int | None = None,
        n_groups: int | None = None,
        stride: int = 1,
        offset_range_factor: float = 4,
        use_pe: bool = True,
        dwc_pe: bool = True,
        no_off: bool = False,
        fixed_pe: bool = False,
        ksize: int = 3,
        log_cpb: bool = False,
    ) -> None:
        super().__init__()
        kinds = {"dwc_pe": dwc_pe, "fixed_pe": fixed_pe, "log_cpb": log_cpb}
        self.position = position = choose_position(use_pe, no_off, kinds)
        what = f"the {channels} channels"
        self.heads = choose_divisor("n_heads", n_heads, channels, USUAL_HEADS, what)
        what = f"the {self.heads} heads"
        self.groups = choose_divisor("n_groups", n_groups, self.heads, USUAL_GROUPS, what)
        self.stride, self.factor = check_count("stride", stride), offset_range_factor
        if isinstance(offset_range_factor, bool) or not isinstance(
            offset_range_factor, int | float
        ):
            raise ValueError(f"offset_range_factor={offset_range_factor!r}: must be a number")
        self.q_size = check_size(q_size, position)
        check_count("ksize", ksize)
        self.conv_offset = offset_layers(channels // self.groups, ksize, stride)
        layers = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.proj_q, self.proj_k, self.proj_v, self.proj_out = layers
        self.rpe_table = self.make_table(channels, ksize)
        # The least side of a map: what fits no unpadded kernel has no places.
        self.least = stride if ksize == stride or position == "no_off" else 1
        if position == "no_off":
            unused = tuple(f"conv_offset.{layer}" for layer in OFFSET_LAYERS)
            self.dead_parameters = (*self.dead_parameters, *unused)

    def make_table(self, channels: int, ksize: int) -> nn.Module | nn.Parameter | None:
        """Return the parameters of the position, which all have one name in the authors' code."""
        if self.position == "dwc_pe":
            return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        if self.position == "log_cpb":
            last = nn.Linear(HIDDEN, self.heads // self.groups, bias=False)
            return nn.Sequential(nn.Linear(2, HIDDEN), nn.ReLU(), last)
        if self.position in WITHOUT_TABLE or self.q_size is None:
            return None
        height, width = self.q_size
        if self.position == "rpe":
            shape = (self.heads, 2 * height - 1, 2 * width - 1)
        else:
            around = 2 * padding(ksize, self.stride) - ksize
            down, across = ((side + around) // self.stride + 1 for side in self.q_size)
            shape = (self.heads, height * width, down * across)
        return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x.

        Raises ValueError for a map that is smaller than a step of stride, or than fixed_pe says.
        """
        if self.least > 1 and min(x.shape[2:]) < self.least:
            sides = f"{x.shape[2]}x{x.shape[3]}"
            raise ValueError(f"stride={self.stride}: a map of {sides} is smaller than one step")
        q, bias = self.proj_q(x), None
        if self.position == "no_off":
            keys = F.avg_pool2d(x, self.stride)  # [B, C, Hk, Wk]
        else:
            places = self.places(q)
            keys, bias = sample(x, places), self.bias(q, places)
        tokens, k, v = (self.tokens(one) for one in (q, self.proj_k(keys), self.proj_v(keys)))
        out = F.scaled_dot_product_attention(tokens, k, v, bias)  # [B, heads, H * W, d]
        out = like(out.transpose(2, 3).reshape(x.shape), x)
        if self.position == "dwc_pe":
            out = out + self.rpe_table(q)  # type: ignore[misc, operator]
        return self.proj_out(out).to(x.dtype)

    def tokens(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, heads, H * W, d], contiguous as fast kernels of attention need it."""
        batch, channels, height, width = maps.shape
        sizes = (batch, self.heads, channels // self.heads, height * width)
        return maps.reshape(sizes).transpose(2, 3).contiguous()

    def places(self, q: Tensor) -> Tensor:
        """q, [B, C, H, W], -> where keys are sampled, [B * groups, Hk, Wk, 2]: down and across."""
        batch, channels, height, width = q.shape
        parts = q.reshape(batch * self.groups, channels // self.groups, height, width)
        down, across = self.conv_offset(parts).to(wide(q.dtype)).unbind(1)
        return torch.stack((self.moved(down, 1), self.moved(across, 2)), 3)

    def moved(self, offset: Tensor, dim: int) -> Tensor:
        """Offsets along side `dim` of the grid, [N, Hk, Wk], -> coordinates of the places."""
        length = offset.shape[dim]
        step = max(length - 1, 1)
        centres = torch.arange(length, dtype=offset.dtype, device=offset.device) + 0.5
        reference = centres * 2 / step - 1
        reference = reference[:, None] if dim == 1 else reference
        if self.factor < 0:
            return (reference + offset).clamp(-1, 1)
        return reference + offset.tanh() * (self.factor / step)

    def bias(self, q: Tensor, places: Tensor) -> Tensor | None:
        """What a table adds to the logits, [1 or B, heads, H * W, Hk * Wk], or None."""
        if self.position in ("dwc_pe", "none"):
            return None
        if isinstance(self.rpe_table, nn.Sequential):
            scaled = 4 * apart(q, places)
            logs = scaled.sign() * (scaled.abs() + 1).log2() / 3  # 3 is the logarithm of 8
            kind = next(self.rpe_table.parameters()).dtype
            found = self.rpe_table(logs.to(kind)).permute(0, 3, 1, 2)
        elif self.position == "fixed_pe":
            if tuple(q.shape[2:]) != self.q_size:
                raise ValueError(f"q_size={self.q_size}: fixed_pe fits no map of {[*q.shape[2:]]}")
            return self.rpe_table[None].to(q.dtype)  # type: ignore[index]
        else:
            table = self.rpe_table
            assert isinstance(table, Tensor)
            tables = table.to(places.dtype).expand(q.shape[0], -1, -1, -1)
            tables = tables.reshape(-1, self.heads // self.groups, *table.shape[1:])
            found = look_up(tables, apart(q, places) / 2)
        return found.reshape(q.shape[0], self.heads, *found.shape[2:]).to(q.dtype)

    def extra_repr(self) -> str:
        return f"n_heads={self.heads}, n_groups={self.groups}, position={self.position}"


def offset_layers(channels: int, ksize: int, stride: int) -> nn.Sequential:
    """Return the layers from a group of q, [N, channels, H, W], to offsets, [N, 2, Hk, Wk]."""
    around = padding(ksize, stride)
    depthwise = nn.Conv2d(channels, channels, ksize, stride, around, groups=channels)
    last = nn.Conv2d(channels, 2, 1, bias=False)
    return nn.Sequential(depthwise, _ChannelNorm(channels), nn.GELU(), last)


def padding(ksize: int, stride: int) -> int:
    """Return the rows around the map for the offsets' kernel: none if kernels do not overlap."""
    return 0 if ksize == stride else ksize // 2


def look_up(maps: Tensor, places: Tensor) -> Tensor:
    """Sample maps, [N, C, H, W], bilinearly at places, [N, P, R, 2], down and across from -1 to 1
    between the centres of the outermost cells -> [N, C, P, R]. Outside there are zeros.
    """
    return F.grid_sample(maps, places.flip(3), align_corners=True)


def sample(x: Tensor, places: Tensor) -> Tensor:
    """x, [B, C, H, W], at the places of its groups, [B * groups, Hk, Wk, 2] -> [B, C, Hk, Wk]."""
    batch, channels, height, width = x.shape
    parts = x.reshape(places.shape[0], -1, height, width).to(places.dtype)
    return look_up(parts, places).reshape(batch, channels, *places.shape[1:3]).to(x.dtype)


def apart(q: Tensor, places: Tensor) -> Tensor:
    """From places, [N, Hk, Wk, 2], to positions of q, [B, C, H, W]: [N, H * W, Hk * Wk, 2]."""
    height, width = q.shape[2:]
    down, across = (
        (2 * torch.arange(side, dtype=places.dtype, device=q.device) - (side - 1))
        / max(side - 1, 1)
        for side in (height, width)
    )
    grid = torch.stack((down[:, None].expand(-1, width), across.expand(height, -1)), 2)
    return grid.flatten(0, 1)[None, :, None] - places.flatten(1, 2)[:, None]


def choose_position(use_pe: bool, no_off: bool, kinds: dict[str, bool]) -> str:
    """Return the name of the position that the flags mean, "rpe" for the table by relative
    position, "none", or "no_off". Raises ValueError for a flag that is not true or false.

    kinds: the flags of the other positions, the first of which prevails.
    """
    flags = {"use_pe": use_pe, "no_off": no_off, **kinds}
    for name, value in flags.items():
        check_flag(name, value)
    if no_off or not use_pe:
        return "no_off" if no_off else "none"
    return next((name for name, value in kinds.items() if value), "rpe")


def check_size(value: object, position: str) -> tuple[int, int] | None:
    """Return q_size, or None where no table needs it. Raises ValueError."""
    if value is None and position not in ("rpe", "fixed_pe"):
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(map(is_count, value)):
        raise ValueError(f"q_size={value!r}: must be height and width of the map, such as [20, 20]")
    return value[0], value[1]
