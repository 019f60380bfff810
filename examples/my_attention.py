"""A module of your own, as you would paste it from an article; examples/own_module.py uses it.

A class that derives from nn.Module is all there is to it: no registry and no edit of the project.
"""

import torch
from torch import nn


class StripGate(nn.Module):
    """Scales each pixel by what the means of its row and its column say; keeps [B, C, H, W]."""

    def __init__(self, channels, kernel_size=7):
        super().__init__()
        sides = {"padding": kernel_size // 2, "groups": channels}
        self.along = nn.Conv1d(channels, channels, kernel_size, **sides)
        self.across = nn.Conv1d(channels, channels, kernel_size, **sides)

    def forward(self, x):
        rows = self.along(x.mean(3)).unsqueeze(3)
        columns = self.across(x.mean(2)).unsqueeze(2)
        return x * torch.sigmoid(rows + columns)
