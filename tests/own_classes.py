"""A file of own classes in the styles of forks, and a small graph that uses them all."""

from __future__ import annotations

from pathlib import Path

import yaml

CLASSES = '''"""My own classes."""
import torch
from torch import nn


class Mine(nn.Module):
    """Attention: the channels come first."""

    def __init__(self, dim, reduction=16):
        super().__init__()
        hidden = max(dim // reduction, 4)
        self.fc = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x):
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()


class Gate(nn.Module):
    """Attention without channels."""

    def __init__(self, e_lambda=1e-4):
        super().__init__()
        self.e_lambda = e_lambda

    def forward(self, x):
        return x * (x + self.e_lambda).sigmoid()


class Block(nn.Module):
    """Channels in and out, then the repeats."""

    def __init__(self, c1, c2, n=1, kernel=3):
        super().__init__()
        self.cv = nn.Conv2d(c1, c2, 1)
        self.m = nn.Sequential(*(nn.Conv2d(c2, c2, kernel, 1, kernel // 2) for _ in range(n)))

    def forward(self, x):
        return self.m(self.cv(x))


class Down(nn.Module):
    """Channels in and out, half the size."""

    def __init__(self, inp, oup, stride=2):
        super().__init__()
        self.cv, self.bn = nn.Conv2d(inp, oup, 3, stride, 1, bias=False), nn.BatchNorm2d(oup)

    def forward(self, x):
        return self.bn(self.cv(x))


class Fuse(nn.Module):
    """Joins maps by a convolution of all their channels."""

    def __init__(self, c1, c2):
        super().__init__()
        self.cv = nn.Conv2d(c1, c2, 1)

    def forward(self, xs):
        return self.cv(torch.cat(xs, 1))


class Weighted(nn.Module):
    """Adds two maps by learned weights."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, xs):
        return xs[0] * self.w[0] + xs[1] * self.w[1]
'''
GRAPH = {
    "nc": 2,
    "depth_multiple": 0.33,
    "width_multiple": 0.25,
    "anchors": [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]],
    "backbone": [
        [-1, 1, "Conv", [32, 6, 2, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 6, "Block", [64, 1]],
        [-1, 1, "Down", [128]],
        [-1, 1, "Mine", [128, 8]],
        [-1, 1, "Gate", [1e-3]],
        [[3, -1], 1, "Weighted", []],
        [[-1, 4], 1, "Fuse", [64]],
        [-1, 1, "Conv", [128, 3, 2]],
    ],
    "head": [[[7, 8], 1, "Detect", ["nc", "anchors"]]],
}


def write_classes(folder: Path) -> Path:
    """The file of CLASSES."""
    path = folder / "my_classes.py"
    path.write_text(CLASSES)
    return path


def write_own_graph(folder: Path) -> Path:
    """The graph that uses them."""
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(GRAPH))
    return path
