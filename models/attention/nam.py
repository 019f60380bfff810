"""NAM: gates from the scale factors of batch norm, by channel and, if asked for, by pixel.

Liu, Shao, Teng and Hoffmann, "NAM: Normalization-based Attention Module", NeurIPS 2021 workshop
ImageNet PPF, https://arxiv.org/abs/2111.12419. Equations 1 to 3: z = BN(x) with scale gamma and
shift beta, weight k_c = |gamma_c| / sum |gamma|, gate sigmoid(k_c z). The pixel branch does the
same with one scale lambda for each position, and normalises over batch and channels. By equation 4
the loss grows by p (sum |gamma| + sum |lambda|), for which there is NAM.sparsity_scales.

[B, C, H, W] -> [B, C, H, W]. Cost: 2 C parameters, and 2 H W for the pixel branch.

Choices where code and paper differ:

- The equations omit the product with the input. The authors' code has it, and their answers to
  questions confirm it.
- The code detaches k, so that gamma learns only through the normalisation. The equations give no
  reason to, so gradients flow through k here; `detach=True` is the code's form. Outputs and the
  gradient of the input are the same.
- The authors removed the pixel branch from their code, since it fixes the size of the map. Here it
  is off unless `spatial_shape` is given, follows the channel branch, and refuses other sizes.
- If all scales were 0, k would be 0 / 0. The sum is kept above 1e-12, so that the gate is 0.5.
- One value per channel in train mode (batch 1, 1 x 1) has no statistics; the running ones are used.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.10 (-6.25 to +6.05), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.33 (-3.36 to +2.69), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, +0.17 (-3.22 to +3.56), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.72 (-1.48 to +2.91), 3 seeds.
- bccd, from scratch, 30 epochs, paper start: no evidence, -0.65 (-2.87 to +1.57), 3 seeds.
- bccd, from scratch, 12 epochs, paper start: no evidence, +0.07 (-5.79 to +5.94), 5 seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.attention._checks import check_flag, is_count
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.nam import fast_nam

SMALLEST_SUM = 1e-12


@register("NAMAttention", "Att", "NAM_Attention")
class NAM(nn.Module):
    """Scales channels, then pixels, by how much their batch norm scales them.

    Args:
        channels: of the map.
        spatial_shape: (H, W) of the only map size that the pixel branch works for; None means no
            such branch.
        detach: whether to block the gradient through |gamma| / sum |gamma|, as the authors' code
            and the tutorials do.

    Raises:
        ValueError: spatial_shape is not a pair of whole numbers from 1 on; in forward, the map has
            another size.
    """

    tutorial_order = ("spatial_shape",)

    def __init__(
        self,
        channels: int,
        *,
        spatial_shape: Sequence[int] | None = None,
        detach: bool = False,
    ) -> None:
        super().__init__()
        self.detach = check_flag("detach", detach)
        self.spatial_shape = None if spatial_shape is None else _pair(spatial_shape)
        self.Channel_Att = _ChannelBranch(channels)
        if self.spatial_shape:
            self.Spatial_Att = _PixelBranch(*self.spatial_shape)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x.

        Raises ValueError if H, W is not the given spatial_shape.
        """
        out = self.gated(x, self.Channel_Att.bn2)  # [B, C, H, W]
        if self.spatial_shape is None:
            return out
        # The builder of a graph measures strides with meta maps of another size; only shapes count.
        if x.is_meta:
            return out
        if tuple(x.shape[2:]) != self.spatial_shape:
            size, built = (f"{h} x {w}" for h, w in (x.shape[2:], self.spatial_shape))
            raise ValueError(
                f"NAM: the map is {size}, but spatial_shape is {built}; leave spatial_shape out"
            )
        pixels = out.flatten(2).transpose(1, 2)  # [B, H * W, C]: a view in both memory layouts
        return self.gated(pixels, self.Spatial_Att.bn).transpose(1, 2).reshape(x.shape)

    def gated(self, x: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Tensor:
        """Equations 1 to 3 for the channels of norm, which are dimension 1 of x, [B, C, ...]."""
        scales = norm.weight.to(wide(norm.weight.dtype))
        size = scales.abs()
        k = size / size.sum().clamp_min(SMALLEST_SUM)  # [C]
        k = k.detach() if self.detach else k
        # convert_sync_batchnorm puts in a norm whose statistics are those of all processes.
        if use_fast(x) and not isinstance(norm, nn.SyncBatchNorm):
            return fast_nam(x, norm, k * scales, k * norm.bias)
        z = apply_batch_norm(norm, x)  # [B, C, ...]
        gate = (k.view(-1, *[1] * (x.dim() - 2)) * z).sigmoid()
        return x * gate.to(x.dtype)

    def sparsity_scales(self) -> list[nn.Parameter]:
        """Return the scale factors under the paper's L1 penalty: gamma, and lambda if there is one.

        The module has lambda only with the pixel branch. The training loop adds
        p * scale.sign() to scale.grad for each (or p * sum of scale.abs() to the loss), once per
        optimiser step, after gradients are unscaled and averaged. The paper's p is 1e-4.
        """
        scales = [self.Channel_Att.bn2.weight]
        return [*scales, self.Spatial_Att.bn.weight] if self.spatial_shape else scales

    def extra_repr(self) -> str:
        return f"spatial_shape={self.spatial_shape}, detach={self.detach}"


# The names bn2 and bn are those of the authors' code, which published weights carry.


class _ChannelBranch(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn2 = nn.BatchNorm2d(channels)


class _PixelBranch(nn.Module):
    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(height * width)


def _pair(value: object) -> tuple[int, int]:
    numbers = list(value) if isinstance(value, (list, tuple)) else []
    if len(numbers) != 2 or not all(map(is_count, numbers)):
        raise ValueError(
            f"spatial_shape={value!r}: must be height and width, two whole numbers from 1 on"
        )
    return numbers[0], numbers[1]
