"""LSKA, large separable kernel attention: a large depthwise kernel, made of rows and columns,
weights every position.

Lau, Po and Rehman, "Large Separable Kernel Attention: Rethinking the Large Kernel Attention Design
in CNN", Expert Systems with Applications 236, 2024, https://arxiv.org/abs/2309.01439, equations 11
to 14. For a kernel of k, with depthwise convolutions

    z = conv a x 1 of conv 1 x a of x            (a = 3 or 5)
    z = conv b x 1 of conv 1 x b of z, dilation d
    out = x * conv 1x1(z)

and (a, b, d) = 7: (3, 3, 2), 11: (3, 5, 2), 23: (5, 7, 3), 35: (5, 11, 3), 41: (5, 13, 3), 53: (5,
17, 3).

Choices: no sigmoid, as in the paper and the authors' code, so that this replaces x rather than
scales it. 7 is the default, the smallest of the paper's kernels.

Cost: C^2 + (2 a + 2 b + 5) C parameters, 69,888 at 256 channels and k 7. It is bound
by arithmetic, not by memory.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.97 (-8.61 to +6.66), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +0.81 (-2.21 to +3.83), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -2.30 (-5.70 to +1.09), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.09 (-2.06 to +2.24), 3 seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._registry import register

# Side of the kernel -> a, b and d of the paper.
PAPER_KERNELS = {
    7: (3, 3, 2),
    11: (3, 5, 2),
    23: (5, 7, 3),
    35: (5, 11, 3),
    41: (5, 13, 3),
    53: (5, 17, 3),
}


@register("LSKA_Attention")
class LSKA(nn.Module):
    """Replaces each position by a product of itself and its surroundings.

    k_size: side of the kernel that the convolutions form together, in positions: 7, 11, 23, 35, 41
    or 53. Raises ValueError for any other k_size.
    """

    tutorial_order = ("k_size",)
    usual_values = (11, 23, 35, 41, 53)

    def __init__(self, channels: int, *, k_size: int = 7) -> None:
        super().__init__()
        if not isinstance(k_size, int) or k_size not in PAPER_KERNELS:
            raise ValueError(
                f"k_size={k_size!r}: must be one of {', '.join(map(str, PAPER_KERNELS))}"
            )
        short, long, dilation = PAPER_KERNELS[k_size]
        shift = dilation * (long - 1) // 2
        self.conv0h = nn.Conv2d(
            channels, channels, (1, short), padding=(0, short // 2), groups=channels
        )
        self.conv0v = nn.Conv2d(
            channels, channels, (short, 1), padding=(short // 2, 0), groups=channels
        )
        self.conv_spatial_h = nn.Conv2d(
            channels, channels, (1, long), 1, (0, shift), dilation, channels
        )
        self.conv_spatial_v = nn.Conv2d(
            channels, channels, (long, 1), 1, (shift, 0), dilation, channels
        )
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        z = self.conv0v(self.conv0h(x))  # [B, C, H, W]: a x a
        z = self.conv_spatial_v(self.conv_spatial_h(z))  # [B, C, H, W]: b x b, dilated
        return x * self.conv1(z).to(x.dtype)
