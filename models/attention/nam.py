"""NAM: gates from the scale factors of batch normalisation, by channel and, if asked, by pixel.

Liu, Shao, Teng and Hoffmann, "NAM: Normalization-based Attention Module", NeurIPS 2021 workshop
ImageNet PPF, https://arxiv.org/abs/2111.12419. Equations 1 to 3 there: z = BN(x) with scale gamma
and shift beta, weight k_c = |gamma_c| / sum |gamma|, gate sigmoid(k_c z). Pixel branch: the same
with one scale lambda per position, normalised over batch and channels. Equation 4: the loss grows
by p (sum |gamma| + sum |lambda|), which NAM.sparsity_scales is for.

[B, C, H, W] -> [B, C, H, W]. Cost: 2 C parameters, and 2 H W for the pixel branch; no multiply-adds
that a FLOP counter sees. k gamma and k beta go into the normalisation, so k z is one affine map of
x: forward writes one map, and backward keeps x alone and computes the gate again.

Choices where code and paper differ: - The equations omit the product with the input; the authors'
code has it, and their answers to questions confirm it. - The code detaches k, so gamma learns only
through the normalisation. The equations give no reason to, hence gradients
  flow through k here; `detach=True` is the code's form. Outputs and the input's gradient are the same.
- The authors removed the pixel branch from their code, since it fixes the map's size. Here it is
off unless
  `spatial_shape` is given, comes after the channel branch, and refuses other sizes.
- All scales 0 would be 0 / 0; the sum is kept above 1e-12, so that the gate is 0.5.
- One value per channel in train mode (batch 1, 1 x 1) has no statistics; the running ones are used.

Verdict: no evidence on bccd in the neck of yolov5n, 30 epochs, 3 seeds:
-0.65 points of mAP50-95 (95 % interval -2.87 to +1.57).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import split, traced, wide
from models.attention._registry import register

SMALLEST_SUM = 1e-12


@register("NAMAttention", "Att", "NAM_Attention")
class NAM(nn.Module):
    """Scales channels, then pixels, by how much their batch normalisation scales them.

    spatial_shape: (H, W) of the only map size that the pixel branch works on; None leaves the
    branch out. detach: no gradient through |gamma| / sum |gamma|, as in the authors' code and the
    tutorials.

    Raises ValueError for a spatial_shape that is not a pair of whole numbers from 1 on, and in
    forward for a map of another size.
    """

    tutorial_order = ("spatial_shape",)

    def __init__(self, channels: int, *, spatial_shape: Any = None, detach: bool = False) -> None:
        super().__init__()
        if not isinstance(detach, bool):
            raise ValueError(f"detach={detach!r}: must be true or false")
        self.detach = detach
        self.spatial_shape = None if spatial_shape is None else _pair(spatial_shape)
        self.Channel_Att: Any = (
            nn.Module()
        )  # names of the authors' code, which weights of others carry
        self.Channel_Att.bn2 = nn.BatchNorm2d(channels)
        if self.spatial_shape:
            self.Spatial_Att: Any = nn.Module()
            self.Spatial_Att.bn = nn.BatchNorm1d(self.spatial_shape[0] * self.spatial_shape[1])

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type.

        Raises ValueError if H, W is not the given spatial_shape.
        """
        out = _gated(x, self.Channel_Att.bn2, self.detach)
        if self.spatial_shape is None:
            return out
        # a graph's builder measures strides with maps of another size, and only shapes matter to it
        if x.is_meta:
            return out
        if tuple(x.shape[2:]) != self.spatial_shape:
            size, built = (f"{h} x {w}" for h, w in (x.shape[2:], self.spatial_shape))
            raise ValueError(
                f"NAM: the map is {size}, but spatial_shape is {built}; leave spatial_shape out"
            )
        pixels = (
            out.flatten(2).transpose(1, 2).unsqueeze(3)
        )  # [B, H * W, C, 1]: a view in both memory layouts
        return (
            _gated(pixels, self.Spatial_Att.bn, self.detach)
            .squeeze(3)
            .transpose(1, 2)
            .reshape(x.shape)
        )

    def sparsity_scales(self) -> list[nn.Parameter]:
        """The scale factors that the paper's L1 penalty covers: gamma, and lambda of the pixel
        branch if there is one.

        The training loop adds p * scale.sign() to scale.grad for each (or p * sum of scale.abs() to
        the loss), once per optimiser step, after gradients were unscaled and averaged. The paper's
        p is 1e-4.
        """
        norms = [self.Channel_Att.bn2] + ([self.Spatial_Att.bn] if self.spatial_shape else [])
        return [norm.weight for norm in norms]

    def extra_repr(self) -> str:
        return f"spatial_shape={self.spatial_shape}, detach={self.detach}"


def _pair(value: Any) -> tuple[int, int]:
    numbers = list(value) if isinstance(value, (list, tuple)) else []
    if len(numbers) != 2 or any(
        not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in numbers
    ):
        raise ValueError(
            f"spatial_shape={value!r}: must be height and width, two whole numbers from 1 on"
        )
    return numbers[0], numbers[1]


def _gated(x: Tensor, norm: Any, detach: bool) -> Tensor:
    """x * sigmoid(k * norm(x)) with k = |scale| / sum |scale|; the norm's channels are dimension 1
    of four.
    """
    own = norm.weight.to(wide(norm.weight.dtype))
    size = own.abs()
    k = size / size.sum().clamp_min(SMALLEST_SUM)
    k = k.detach() if detach else k
    if isinstance(
        norm, nn.SyncBatchNorm
    ):  # put in by torch.nn.SyncBatchNorm.convert_sync_batchnorm
        return x * (k.view(1, -1, 1, 1) * norm(x)).sigmoid().to(x.dtype)
    weight, bias = k * own, k * norm.bias
    if norm.training and x.numel() > x.shape[1]:
        return _train(x, weight, bias, norm)
    slope = weight * (norm.running_var + norm.eps).rsqrt()
    offset = bias - norm.running_mean * slope
    return _affine(x, slope.view(1, -1, 1, 1), offset.view(1, -1, 1, 1))


def _train(x: Tensor, weight: Tensor, bias: Tensor, norm: Any) -> Tensor:
    """x * sigmoid(batch norm of x with this weight and bias), updating the running statistics of
    norm.
    """
    norm.num_batches_tracked.add_(1)
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    weight, bias = weight.to(norm.weight.dtype), bias.to(norm.weight.dtype)
    if not traced(x):
        return _Gate.apply(x, weight, bias, norm, momentum)
    logit = nn.functional.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        weight,
        bias,
        training=True,
        momentum=momentum,
        eps=norm.eps,
    )
    return x * logit.sigmoid()


def _affine(x: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
    """x * sigmoid(slope * x + offset); slope and offset are [1, C, 1, 1]."""
    graph = torch.is_grad_enabled() and (x.requires_grad or slope.requires_grad)
    if graph or traced(x):
        return x * (x * slope + offset).sigmoid().to(x.dtype)
    out = torch.empty_like(x)
    for part, result in split(x, out):
        torch.addcmul(offset, part, slope, out=result).sigmoid_().mul_(part)
    return out


class _Gate(torch.autograd.Function):
    """x * sigmoid(z), z the batch norm of x; keeps x alone, and backward computes the gate again.

    With g the gradient and s the gate, h = g x s (1 - s) is that of z; its sums over a channel,
    plain and along x, are all that the gradients of weight, bias and statistics need.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Any, momentum: float
    ) -> Tensor:
        out, mean, rstd = torch.native_batch_norm(
            x,
            weight,
            bias,
            norm.running_mean,
            norm.running_var,
            training=True,
            momentum=momentum,
            eps=norm.eps,
        )
        for part, result in split(x, out):
            result.sigmoid_().mul_(part)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        slope = weight * rstd
        offset, slope = _as_map(bias - mean * slope), _as_map(slope)
        out = torch.empty_like(x)
        parts = split(grad, x, out)
        room = torch.empty_like(parts[0][1])
        total, along = torch.zeros_like(mean), torch.zeros_like(mean)
        for g, part, gate in parts:
            torch.addcmul(offset, part, slope, out=gate).sigmoid_()
            inner = _inner(g, part, gate, room)
            total += inner.sum((0, 2, 3), dtype=total.dtype)
            along += inner.mul_(part).sum((0, 2, 3), dtype=total.dtype)
        count = x.numel() // x.shape[1]
        grad_weight = rstd * (along - mean * total)
        tilt = -slope.flatten() * rstd * grad_weight / count
        shift = _as_map(-slope.flatten() * total / count - tilt * mean)
        tilt = _as_map(tilt)
        for g, part, gate in parts:
            inner = _inner(g, part, gate, room)
            gate.mul_(g).addcmul_(inner, slope).addcmul_(part, tilt).add_(shift)
        return out, grad_weight, total, None, None


def _inner(grad: Tensor, x: Tensor, gate: Tensor, room: Tensor) -> Tensor:
    """grad * x * gate * (1 - gate), written to room."""
    inner = torch.mul(grad, x, out=room[: len(x)])
    return torch.ops.aten.sigmoid_backward.grad_input(inner, gate, grad_input=inner)


def _as_map(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)
