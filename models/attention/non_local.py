"""NonLocal: adds to every position a sum over all positions, weighted by likeness.

Wang, Girshick, Gupta and He, "Non-local Neural Networks", CVPR 2018,
https://arxiv.org/abs/1711.07971. With q = theta x, k = phi x, v = g x, each a 1x1 convolution to
`inter` channels, equation 1 is y_i = sum_j f(q_i, k_j) v_j / (normaliser), and equation 6 is
out = x + W y. The modes are

    embedded_gaussian  softmax over j of q_i . k_j       (equation 3)
    gaussian           the same with q = k = x           (equation 2)
    dot_product        q_i . k_j / number of keys        (equation 4)

[B, C, H, W] keeps its shape. W is a 1x1 convolution and, with `bn`, a batch norm; the last of them
starts at zero, so that a new module is the identity.

Choices:

- As in the common PyTorch code, logits have no scale, and `sub_sample`, a maximum over 2 x 2 keys
  and values, is on by default; it is part of the state-dict names. An odd last row or column is
  dropped; a side of 1 stays, where that code fails.
- The gaussian mode compares raw features. Their products grow with C, and the softmax becomes one
  position: prefer the others.
- phi's bias adds the same to all logits of a softmax, and has no gradient but in dot_product.
- dot_product forms the sum over j of k_j v_j first, which is linear in the number of positions.

Cost: 4 C inter + 3 inter + 3 C parameters, 132,224 at 256 channels. The fused attention of PyTorch
keeps no matrix of all pairs.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.28 (-6.43 to +5.86), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_flag
from models.attention._numerics import apply_batch_norm
from models.attention._registry import register

MODES = ("embedded_gaussian", "gaussian", "dot_product")


class _Halve(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H // 2, W // 2]; a side of 1 stays."""
        return F.max_pool2d(x, [2 if side > 1 else 1 for side in x.shape[2:]])


@register("NonLocalBlock", "NonLocalBlock2D", "NONLocalBlock2D", "NonLocalAttention")
class NonLocal(nn.Module):
    """Adds a weighted sum of all positions to each.

    Args:
        channels: C, of the map.
        inter: channels of queries, keys and values; None means max(1, C // 2).
        mode: embedded_gaussian, gaussian or dot_product.
        sub_sample: whether keys and values are the maxima of 2 x 2 positions.
        bn: whether a batch norm follows the last convolution.

    Raises:
        ValueError: an option has another value.
    """

    tutorial_order = ("inter", "mode", "sub_sample", "bn")
    dead_parameters = ("phi.0.bias",)
    starts_as_identity = True

    def __init__(
        self,
        channels: int,
        *,
        inter: int | None = None,
        mode: str = "embedded_gaussian",
        sub_sample: bool = True,
        bn: bool = True,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode={mode!r}: must be {', '.join(MODES)}")
        width = max(channels // 2, 1) if inter is None else check_count("inter", inter)
        self.mode = mode
        pool = [_Halve()] if check_flag("sub_sample", sub_sample) else []
        keys = [] if mode == "gaussian" else [nn.Conv2d(channels, width, 1)]
        self.g = _chain(nn.Conv2d(channels, width, 1), *pool)
        self.theta = None if mode == "gaussian" else nn.Conv2d(channels, width, 1)
        self.phi = _chain(*keys, *pool)
        last = nn.Conv2d(width, channels, 1)
        norm = [nn.BatchNorm2d(channels)] if check_flag("bn", bn) else []
        self.W = _chain(last, *norm)
        for parameter in (norm[0] if norm else last).parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        query = x if self.theta is None else self.theta(x)
        maps = (query, self.phi(x), self.g(x))
        q, k, v = (one.flatten(2) for one in maps)  # [B, inter or C, positions]
        y = _likeness(q, k, v) if self.mode == "dot_product" else _softmax_attention(q, k, v)
        y = y.reshape(x.shape[0], -1, *x.shape[2:])  # [B, inter, H, W]
        if isinstance(self.W, nn.Sequential):
            z = apply_batch_norm(self.W[1], self.W[0](y))  # type: ignore[arg-type]
        else:
            z = self.W(y)
        return x + z.to(x.dtype)

    def extra_repr(self) -> str:
        return f"mode={self.mode}"


def _chain(*layers: nn.Module) -> nn.Module:
    """One layer by itself, which gives its parameters shorter names, or a sequence."""
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _likeness(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Equation 4 for q [B, d, M], k [B, d, K] and v [B, d, K] -> [B, d, M]."""
    return torch.matmul(torch.matmul(v, (k / k.shape[2]).transpose(1, 2)), q)


def _softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Equations 2 and 3 for q [B, d, M], k [B, d, K] and v [B, e, K] -> [B, e, M]."""
    width, values = q.shape[1], v.shape[1]
    if width != values:  # the fused attention wants one width; zeros change neither product
        q, k, v = (F.pad(one, (0, 0, 0, max(width, values) - one.shape[1])) for one in (q, k, v))
    # Only contiguous operands with a dimension for heads get the fused form on a CPU.
    q, k, v = (one.transpose(1, 2)[:, None].contiguous() for one in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)  # [B, 1, M, e]
    return y[:, 0, :, :values].transpose(1, 2)
