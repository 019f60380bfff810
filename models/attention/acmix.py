"""ACmix: attention inside a small window and a convolution, mixed, both computed from the same
three projections.

Pan, Ge, Lu, Song, Chen, Huang and Huang, "On the Integration of Self-Attention and Convolution",
CVPR 2022, https://arxiv.org/abs/2111.14556. Stage one (section 4 there) makes queries q, keys k and
values v, each a 1x1 convolution of x, in `head` heads of d channels. Stage two has two paths,
weighed by learned scalars:

    out = rate1 * attention + rate2 * convolution
    attention at p    = sum over n of a_n v_n,  a = softmax over n of (q . (k_n + e - e_n)) / sqrt(d)
    convolution at p  = dep_conv(fc(q, k, v)): the 3 * head maps of each of the d places of a head become 9, and those
                        9 become `head` output channels by a grouped 3x3 convolution that starts as the nine shifts

n runs over the kernel_att x kernel_att window around p, in the map continued by reflection; e =
conv_p of the position, x and y each from -1 to 1. A side too short to reflect (kernel_att // 2 or
less) repeats its edge; the authors' code fails there. With stride 2 the output has ceil(H / 2) rows
and ceil(W / 2) columns; the authors' code takes even sizes only, and gives the same for them.

[B, C, H, W] -> [B, out_channels, H, W]. With c = out_channels: 3 (C c + c) + 3 d + 27 head + 81 c +
2 parameters.

The authors' code writes every window out, four arrays of kernel_att^2 maps, and keeps 110 maps for
backward. Here

- q . e and q . (bias of k) are the same for all n, and softmax drops them: k - e is formed once,
before the windows; - queries are taken in tiles of 8x8, which share a window of 14x14 keys: a
masked matrix product in place of 49 shifts,
  about 4 times the multiplications, at the speed of matrix products, and 3 maps of copies where there were 49;
- fc is folded into dep_conv (both are linear), so its 9 d maps never exist;
- attention is computed anew in backward, some images at a time; kept are x and q, k, v.

conv_p.bias and conv2.bias have no influence on attention (the latter has on the convolution);
gradients of conv_p.bias are zero but for rounding. There is no dep_conv.bias, as in the state dict
of the authors' code. Its kernel_conv and dilation work for one value only, 3 and 1, and are not
options here. On CUDA the gradient adds up in no fixed order.
Verdict: not yet measured.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.attention._lean import traced
from models.attention._registry import register

# outputs along a side of a tile, in steps of the input; smaller tiles multiply less and copy more
TILE = 8
AT_ONCE = 2**21  # elements of q whose windows are in memory together
LARGEST_WINDOW = 31


@register("ACMix", "Acmix")
class ACmix(nn.Module):
    """Attention and convolution of out_channels (None: as many as come in), and of channels / head
    for each head.

    kernel_att: side of the attention's window, odd, 3 to 31. head: number of heads, a divisor of
    out_channels; None means 4 or, where 4 is no divisor, the largest below. stride: 1, or 2 to
    halve the map.

    Raises ValueError for other values.
    """

    tutorial_order = ("kernel_att", "head")
    dead_parameters = ("conv_p.bias",)

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        kernel_att: int = 7,
        head: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        width = channels if out_channels is None else _whole("out_channels", out_channels)
        if _whole("kernel_att", kernel_att) % 2 == 0 or not 3 <= kernel_att <= LARGEST_WINDOW:
            raise ValueError(
                f"kernel_att={kernel_att}: must be odd, from 3 to {LARGEST_WINDOW}, such as 7; it"
                " is the side of a window, not a channel count"
            )
        if _whole("stride", stride) > 2:
            raise ValueError(f"stride={stride}: must be 1 or 2")
        self.head = (
            next(n for n in (4, 3, 2, 1) if width % n == 0)
            if head is None
            else _whole("head", head)
        )
        if width % self.head:
            raise ValueError(
                f"head={head}: must divide the {width} output channels; leave it out for a number"
                " that does"
            )
        if width != channels:
            self.out_channels = width
        self.kernel_att, self.stride, self.width, self.place = (
            kernel_att,
            stride,
            width,
            width // self.head,
        )
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(channels, width, 1) for _ in range(3))
        self.conv_p = nn.Conv2d(2, self.place, 1)
        self.fc = nn.Conv2d(3 * self.head, 9, 1, bias=False)
        self.dep_conv = nn.Conv2d(
            9 * self.place, width, 3, padding=1, groups=self.place, bias=False, stride=stride
        )
        self.rate1 = nn.Parameter(torch.full((1,), 0.5))
        self.rate2 = nn.Parameter(torch.full((1,), 0.5))
        with torch.no_grad():
            self.dep_conv.weight.copy_(torch.eye(9).reshape(9, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_channels, H, W], or half of H and W, rounded up, with stride 2;
        in x's own type.
        """
        mixture = self.project(x)
        out = self.convolve(mixture)
        positions = self.positions(x)
        attention = (
            self.attend_plainly(mixture, positions)
            if traced(x)
            else self.attend(mixture, positions)
        )
        return (out + attention).to(x.dtype)

    def project(self, x: Tensor) -> Tensor:
        """q, k and v together, [B, d * 3 * head, H, W]: all that belongs to one place of the d in a
        row.
        """
        layers = (self.conv1, self.conv2, self.conv3)
        weight = torch.stack([layer.weight.reshape(self.head, self.place, -1) for layer in layers])
        bias = torch.stack(
            [
                layer.bias.reshape(self.head, self.place)
                for layer in layers
                if layer.bias is not None
            ]
        )
        weight = weight.permute(2, 0, 1, 3).reshape(3 * self.width, -1, 1, 1)
        return F.conv2d(x, weight, bias.permute(2, 0, 1).reshape(-1))

    def convolve(self, mixture: Tensor) -> Tensor:
        """The convolution's path, times rate2: fc and dep_conv as one grouped 3x3 convolution."""
        weight = self.fc.weight.flatten(1).t() @ (self.dep_conv.weight * self.rate2).flatten(2)
        weight = weight.unflatten(2, (3, 3))
        return F.conv2d(mixture, weight, None, self.stride, 1, 1, self.place)

    def positions(self, x: Tensor) -> Tensor:
        """conv_p of the position, [H, W, d]."""
        down, across = (_from_minus_one_to_one(x, side) for side in (2, 3))
        weight, bias = self.conv_p.weight.flatten(1).to(x.dtype), self.conv_p.bias
        assert bias is not None
        return across[:, None] * weight[:, 0] + (
            down[:, None, None] * weight[:, 1] + bias.to(x.dtype)
        )

    def attend(self, mixture: Tensor, positions: Tensor) -> Tensor:
        """The attention's path, times rate1; what it makes on the way is dropped, and made again in
        backward.
        """
        sides = mixture.shape[2:]
        plans = [_Plan(side, self.kernel_att, self.stride, mixture.device) for side in sides]
        images = max(1, AT_ONCE // (self.width * sides[0] * sides[1]))
        parts = [
            (
                checkpoint(
                    self.attend_tiled,
                    part,
                    positions,
                    plans,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
                if torch.is_grad_enabled()
                else self.attend_tiled(part, positions, plans)
            )
            for part in mixture.split(images)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def attend_tiled(self, mixture: Tensor, positions: Tensor, plans: list[_Plan]) -> Tensor:
        """`attend` for a few images, tile by tile: the queries of a tile against all keys that any
        of them may see.
        """
        rows, columns = plans
        images, width = mixture.shape[0], mixture.shape[3]
        q, k, v = (
            mixture.reshape(images, self.place, 3, self.head, -1)
            .permute(2, 0, 3, 4, 1)
            .contiguous()
        )
        k = k - positions.reshape(-1, self.place)
        tiles = rows.tiles * columns.tiles
        query_at = _pairs(rows.outputs, columns.outputs, width)
        key_at = _pairs(rows.inputs, columns.inputs, width)
        q, k, v = (
            part.index_select(2, at).reshape(images * self.head, tiles, -1, self.place)
            for part, at in ((q, query_at), (k, key_at), (v, key_at))
        )
        hidden = ~(rows.visible[:, None, :, None] & columns.visible[None, :, None, :]).flatten(
            2
        ).flatten(0, 1)
        mask = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill_(
            hidden, float("-inf")
        )
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        home = _home(rows, columns)
        found = found.reshape(images, self.head, -1, self.place).index_select(2, home) * self.rate1
        return found.transpose(2, 3).reshape(images, self.width, rows.size, columns.size)

    def attend_plainly(self, mixture: Tensor, positions: Tensor) -> Tensor:
        """The same as `attend` shift by shift, for compilers and exporters, with no number that
        depends on H and W.
        """
        images, _, height, width = mixture.shape
        q, k, v = mixture.reshape(images, self.place, 3, self.head, height, width).unbind(2)
        k = k - positions.permute(2, 0, 1)[:, None]
        q = q[..., :: self.stride, :: self.stride]
        k, v = (
            _continued(part.flatten(1, 2), self.kernel_att // 2).unflatten(1, q.shape[1:3])
            for part in (k, v)
        )
        tall, wide = q.shape[-2:]
        shifts = [(y, x) for y in range(self.kernel_att) for x in range(self.kernel_att)]
        keys, values = (
            [
                part[..., y:, x:][..., :: self.stride, :: self.stride][..., :tall, :wide]
                for y, x in shifts
            ]
            for part in (k, v)
        )
        logits = torch.stack([(q * key).sum(1) for key in keys]) * self.place**-0.5
        weights = logits.to(torch.promote_types(q.dtype, torch.float32)).softmax(0).to(q.dtype)
        found = sum(
            (value * weight[:, None] for value, weight in zip(values, weights, strict=True)),
            torch.zeros_like(q),
        )
        return found.transpose(1, 2).flatten(1, 2) * self.rate1

    def extra_repr(self) -> str:
        return f"kernel_att={self.kernel_att}, head={self.head}, stride={self.stride}"


class _Plan:
    """Tiles along one side of a map: which outputs and inputs each has, and which inputs each
    output may see.
    """

    def __init__(self, side: int, window: int, stride: int, device: torch.device) -> None:
        self.size = -(-side // stride)
        self.tiles = -(-self.size * stride // TILE)
        self.length = -(-self.size // self.tiles)
        starts = torch.arange(self.tiles, device=device)[:, None] * self.length
        first = starts * stride - window // 2
        reach = torch.arange((self.length - 1) * stride + window, device=device)
        self.inputs = _reflected(first + reach, side, window // 2)
        self.outputs = (starts + torch.arange(self.length, device=device)).clamp_(
            max=self.size - 1
        ) * stride
        offset = reach - torch.arange(self.length, device=device)[:, None] * stride
        self.visible = (offset >= 0) & (offset < window)


def _reflected(at: Tensor, side: int, reach: int) -> Tensor:
    """Places inside 0 ... side - 1 for those up to reach beyond; what lies farther is never looked
    at.
    """
    if side > reach:
        at = at.abs()
        at = (side - 1) - (side - 1 - at).abs()
    return at.clamp(0, side - 1)


def _pairs(rows: Tensor, columns: Tensor, width: int) -> Tensor:
    """Flat places in a map so wide, tile after tile and row after row, from places along its two
    sides.
    """
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).flatten()


def _home(rows: _Plan, columns: _Plan) -> Tensor:
    """Where each output lies among all that were computed tile by tile."""
    y = torch.arange(rows.size, device=rows.inputs.device)
    x = torch.arange(columns.size, device=rows.inputs.device)
    per_tile = rows.length * columns.length
    tall = (y // rows.length) * (columns.tiles * per_tile) + y % rows.length * columns.length
    wide = (x // columns.length) * per_tile + x % columns.length
    return (tall[:, None] + wide).flatten()


def _continued(x: Tensor, reach: int) -> Tensor:
    """x, [B, C, H, W], with reach more on every side: reflected, or its edge repeated where a side
    is too short.
    """
    for side, around in ((2, [0, 0, reach, reach]), (3, [reach, reach, 0, 0])):
        x = F.pad(x, around, mode="reflect" if x.shape[side] > reach else "replicate")
    return x


def _from_minus_one_to_one(x: Tensor, side: int) -> Tensor:
    """As many numbers as x has along the side, evenly spaced; -1 if there is but one."""
    length = x.shape[side]
    return torch.arange(length, dtype=x.dtype, device=x.device) * (2 / max(length - 1, 1)) - 1


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number from 1 on")
    return value
