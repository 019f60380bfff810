"""The weights and images that golden numbers were made with.

They are drawn from names, so that any program can repeat them.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import nn

from models.graph.info import row_info
from utils.files import ROOT

GOLDEN = ROOT / "tests" / "golden" / "yolov5"
GOLDEN_V8 = ROOT / "tests" / "golden" / "yolov8"

ARTICLE = """
nc: 80
depth_multiple: 0.33
width_multiple: 0.50
anchors:
  - [10,13, 16,30, 33,23]
  - [30,61, 62,45, 59,119]
  - [116,90, 156,198, 373,326]
backbone:
  [[-1, 1, Conv, [64, 6, 2, 2]],
   [-1, 1, Conv, [128, 3, 2]],
   [-1, 3, C3, [128]],
   [-1, 1, Conv, [256, 3, 2]],
   [-1, 6, C3, [256]],
   [-1, 1, Conv, [512, 3, 2]],
   [-1, 9, C3, [512]],
   [-1, 1, Conv, [1024, 3, 2]],
   [-1, 3, C3, [1024]],
   [-1, 1, SPPF, [1024, 5]],
  ]
head:
  [[-1, 1, Conv, [512, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 6], 1, Concat, [1]],
   [-1, 3, C3, [512, False]],

   [-1, 1, Conv, [256, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 4], 1, Concat, [1]],
   [-1, 3, C3, [256, False]],
   [-1, 1, SimAM, [1e-4]], # 注意力

   [-1, 1, Conv, [256, 3, 2]],
   [[-1, 14], 1, Concat, [1]],
   [-1, 3, C3, [512, False]],
   [-1, 1, SimAM, [1e-4]], # 注意力

   [-1, 1, Conv, [512, 3, 2]],
   [[-1, 10], 1, Concat, [1]],
   [-1, 3, C3, [1024, False]],
   [-1, 1, SimAM, [1e-4]], # 注意力

   [[18, 22, 26], 1, Detect, [nc, anchors]],
  ]
# the rows of the tutorial that people start from; YAML 1.1 reads its 1e-4 as text, and comments
# need not be ASCII
"""


def draws(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def image(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(draws(seed).random(shape).astype(np.float32))


def indexed(model: nn.Module, key: str) -> str:
    """The key that YOLOv5 has for an entry: row numbers where ours has stable keys."""
    numbers = {info.key: str(info.index) for info in map(row_info, model.model)}
    first, row, *rest = key.split(".")
    return ".".join([first, numbers[row], *rest])


def fill(model: nn.Module) -> None:
    """Set every entry but anchors, bins and counters from a stream named after it."""
    state = model.state_dict()
    for key, old in state.items():
        if key.endswith(("num_batches_tracked", ".anchors", ".dfl.conv.weight")):
            continue
        shape = tuple(old.shape)
        value = draws(zlib.crc32(indexed(model, key).encode())).standard_normal(shape) * 0.1
        if len(shape) >= 2:
            value = value * np.sqrt(2 / np.prod(shape[1:])) / 0.1
        elif key.endswith("running_var"):
            value = abs(value) + 0.5
        elif key.endswith("weight"):
            value = 1 + value
        state[key] = torch.from_numpy(value.astype(np.float32))
    model.load_state_dict(state)
