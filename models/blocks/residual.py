"""The bottleneck of ResNet, which rows such as ResBlock_CBAM name with attention in it.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 5; Woo et al., "CBAM",
ECCV 2018, figure 3, put the attention before the addition.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.common import Conv, Residual


class ResBlock(Residual):
    """A 1x1, a 3x3 and a 1x1 convolution, a residual, then ReLU; ReLU between them too.

    Public copies take the channels between the convolutions and multiply them by `expansion` for
    the output. In a row the first number is the output's channels, as for every block, and those
    between are int(outputs / expansion).

    Args:
        inputs: channels.
        outputs: channels.
        stride: of the 3x3 convolution.
        downsampling: whether the input passes a 1x1 convolution and a norm before the addition,
            which it always does where its shape is not the output's.
        expansion: channels of the output over those between the convolutions.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        downsampling: bool = False,
        expansion: float = 4,
    ) -> None:
        super().__init__(outputs)
        hidden = int(outputs / expansion)
        self.cv1 = Conv(inputs, hidden, act=nn.ReLU())
        self.cv2 = Conv(hidden, hidden, 3, stride, act=nn.ReLU())
        self.cv3 = Conv(hidden, outputs, act=False)
        changes = inputs != outputs or stride != 1
        self.shortcut: nn.Module = nn.Identity()
        if downsampling or changes:
            self.shortcut = Conv(inputs, outputs, 1, stride, act=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        branch = self.attend(self.cv3(self.cv2(self.cv1(x))))
        return self.act(branch + self.shortcut(x))
