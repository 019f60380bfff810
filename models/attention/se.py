"""SE: a weight for every channel, from the means of all channels through two small layers.

Hu, Shen, Albanie, Sun and Wu, "Squeeze-and-Excitation Networks", CVPR 2018,
https://arxiv.org/abs/1709.01507. Equation 2 there is the squeeze, z = mean of each channel over H
and W; equation 3 the excitation, s = sigmoid(W2 relu(W1 z)) with W1: C -> C / r and W2: C / r -> C;
equation 4 the product x s. [B, C, H, W] keeps its shape.

Cost: 2 C (C / r) parameters; 3 map sizes of memory traffic forward and 5 to 7 backward, with x
alone kept for it: the gate's gradient is summed without writing g x, and the mean's is added
without being spread out first.

Choices: the layers have no biases, as in the PyTorch ports that weights in use come from; the
journal version says that none is better. The Caffe models have them: `bias=True`. There is at least
one hidden channel, where C / r rounded down to 0 would give the constant gate 0.5.
Verdict: not yet measured.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._lean import pool, scale
from models.attention._registry import register


@register("SEAttention", "SELayer", "SEBlock", "SEModule", "SE_Block", "SqueezeExcite")
class SE(nn.Module):
    """Scales each channel by a gate between 0 and 1.

    reduction: how many times fewer the hidden channels are, rounded down to whole ones and at least
    1. bias: whether the two layers have biases. Raises ValueError for a reduction that is not a
    whole number from 1 on, and for a bias that is not true or false.
    """

    tutorial_order = ("reduction", "bias")

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        if isinstance(reduction, bool) or not isinstance(reduction, int) or reduction < 1:
            raise ValueError(
                f"reduction={reduction!r}: must be a whole number from 1 on, such as 16"
            )
        if not isinstance(bias, bool):
            raise ValueError(f"bias={bias!r}: must be true or false")
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=bias),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=bias),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type."""
        return scale(x, self.fc(pool(x).flatten(1))[:, :, None, None])
