"""Whole graphs as public repositories write them, with a backbone or neck of another paper.

Each builds as it stands, has the strides that its comments say, and gives rise to no finding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.graph.load import load_graph
from models.lint.fix import lint
from models.yolo import DetectionModel

TOP = """
nc: 80
depth_multiple: 1.0
width_multiple: 1.0
anchors:
  - [10,13, 16,30, 33,23]
  - [30,61, 62,45, 59,119]
  - [116,90, 156,198, 373,326]
"""
HEAD = """
head:
  [[-1, 1, Conv, [128, 1, 1]],  # {top}
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, {p4}], 1, Concat, [1]],
   [-1, 1, C3, [128, False]],
   [-1, 1, Conv, [64, 1, 1]],  # {middle}
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, {p3}], 1, Concat, [1]],
   [-1, 1, C3, [64, False]],  # {small} (P3/8-small)
   [-1, 1, Conv, [64, 3, 2]],
   [[-1, {middle}], 1, Concat, [1]],
   [-1, 1, C3, [128, False]],  # {medium} (P4/16-medium)
   [-1, 1, Conv, [128, 3, 2]],
   [[-1, {top}], 1, Concat, [1]],
   [-1, 1, C3, [256, False]],  # {large} (P5/32-large)
   [[{small}, {medium}, {large}], 1, {head}, [nc, anchors]],
  ]
"""
# Rows of the levels P3 and P4, and the rows.
BACKBONES = {
    "ShuffleNetV2": ((2, 4), """
  [[-1, 1, conv_bn_relu_maxpool, [32]],  # 0-P2/4
   [-1, 1, Shuffle_Block, [128, 2]],  # 1-P3/8
   [-1, 3, Shuffle_Block, [128, 1]],
   [-1, 1, Shuffle_Block, [256, 2]],  # 3-P4/16
   [-1, 7, Shuffle_Block, [256, 1]],
   [-1, 1, Shuffle_Block, [512, 2]],  # 5-P5/32
   [-1, 3, Shuffle_Block, [512, 1]],
  ]"""),
    "MobileNetV3": ((3, 5), """
  [[-1, 1, conv_bn_hswish, [16, 2]],  # 0-P1/2
   [-1, 1, MobileNetV3, [16, 16, 3, 2, 1, 0]],  # 1-P2/4
   [-1, 1, MobileNetV3, [24, 72, 3, 2, 0, 0]],  # 2-P3/8
   [-1, 1, MobileNetV3, [24, 88, 3, 1, 0, 0]],
   [-1, 1, MobileNetV3, [40, 96, 5, 2, 1, 1]],  # 4-P4/16
   [-1, 1, MobileNetV3, [40, 240, 5, 1, 1, 1]],
   [-1, 1, MobileNetV3, [96, 288, 5, 2, 1, 1]],  # 6-P5/32
  ]"""),
    "MobileNetV2": ((3, 5), """
  [[-1, 1, Conv, [32, 3, 2]],  # 0-P1/2
   [-1, 1, InvertedResidual, [16, 1, 1]],
   [-1, 1, InvertedResidual, [24, 2, 6]],  # 2-P2/4
   [-1, 1, InvertedResidual, [32, 2, 6]],  # 3-P3/8
   [-1, 1, InvertedResidual, [64, 2, 6]],  # 4-P4/16
   [-1, 1, InvertedResidual, [96, 1, 6]],
   [-1, 1, InvertedResidual, [160, 2, 6]],  # 6-P5/32
  ]"""),
    "EfficientNetV2": ((3, 5), """
  [[-1, 1, stem, [24, 3, 2]],  # 0-P1/2
   [-1, 2, FusedMBConv, [24, 3, 1, 1, 0]],
   [-1, 1, FusedMBConv, [48, 3, 2, 4, 0]],  # 2-P2/4
   [-1, 1, FusedMBConv, [64, 3, 2, 4, 0]],  # 3-P3/8
   [-1, 1, MBConv, [128, 3, 2, 4, 0.25]],  # 4-P4/16
   [-1, 1, MBConv, [160, 3, 1, 6, 0.25]],
   [-1, 1, MBConv, [256, 3, 2, 4, 0.25]],  # 6-P5/32
  ]"""),
    "MobileViT": ((4, 6), """
  [[-1, 1, Conv, [16, 6, 2, 2]],  # 0-P1/2
   [-1, 1, MV2Block, [32, 1, 2]],
   [-1, 1, MV2Block, [48, 2, 2]],  # 2-P2/4
   [-1, 1, MV2Block, [64, 2, 2]],  # 3-P3/8
   [-1, 1, MobileViTBlock, [64, 96, 2, 3, 2, 192]],
   [-1, 1, MV2Block, [80, 2, 2]],  # 5-P4/16
   [-1, 1, MobileViTBlock, [80, 120, 4, 3, 2, 480]],
   [-1, 1, MV2Block, [96, 2, 2]],  # 7-P5/32
   [-1, 1, MobileViTBlock, [96, 144, 3, 3, 2, 576]],
  ]"""),
    "Swin": ((3, 5), """
  [[-1, 1, PatchEmbed, [96, 4]],  # 0-P2/4
   [-1, 1, SwinStage, [96, 2, 3, 7]],
   [-1, 1, PatchMerging, [192]],  # 2-P3/8
   [-1, 1, SwinStage, [192, 2, 6, 7]],
   [-1, 1, PatchMerging, [384]],  # 4-P4/16
   [-1, 1, SwinStage, [384, 2, 12, 7]],
   [-1, 1, PatchMerging, [768]],  # 6-P5/32
   [-1, 1, SwinStage, [768, 2, 24, 7]],
  ]"""),
    "VanillaNet": ((2, 3), """
  [[-1, 1, Conv_maxpool, [32]],  # 0-P2/4
   [-1, 1, vanillanetBlock, [64, 3, 1]],
   [-1, 1, vanillanetBlock, [64, 3, 2]],  # 2-P3/8
   [-1, 1, ContextGuidedBlock_Down, [128]],  # 3-P4/16
   [-1, 1, LAE, []],  # 4-P5/32
   [-1, 3, ResXCSPC, [128]],
  ]"""),
}  # fmt: skip
GOLD = """
nc: 80
scales:
  n: [0.33, 0.25, 1024]
backbone:
  - [-1, 1, Conv, [64, 3, 2]]  # 0-P1/2
  - [-1, 1, Conv, [128, 3, 2]]  # 1-P2/4
  - [-1, 3, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]  # 3-P3/8
  - [-1, 6, C2f, [256, True]]
  - [-1, 1, Conv, [512, 3, 2]]  # 5-P4/16
  - [-1, 6, C2f, [512, True]]
  - [-1, 1, Conv, [1024, 3, 2]]  # 7-P5/32
  - [-1, 3, C2f, [1024, True]]
  - [-1, 1, SPPF, [1024, 5]]  # 9
head:
  - [[2, 4, 6, 9], 1, SimFusion_4in, []]  # 10
  - [-1, 1, IFM, [[64, 32]]]  # 11
  - [9, 1, Conv, [512, 1, 1]]  # 12
  - [[4, 6, -1], 1, SimFusion_3in, [512]]  # 13
  - [[-1, 11], 1, InjectionMultiSum_Auto_pool, [512, [64, 32], 0]]  # 14
  - [-1, 3, C2f, [512]]  # 15
  - [6, 1, Conv, [256, 1, 1]]  # 16
  - [[2, 4, -1], 1, SimFusion_3in, [256]]  # 17
  - [[-1, 11], 1, InjectionMultiSum_Auto_pool, [256, [64, 32], 1]]  # 18
  - [-1, 3, C2f, [256]]  # 19
  - [[19, 15, 9], 1, PyramidPoolAgg, [352, 2]]  # 20
  - [-1, 1, TopBasicLayer, [352, [64, 128]]]  # 21
  - [[19, 16], 1, AdvPoolFusion, []]  # 22
  - [[-1, 21], 1, InjectionMultiSum_Auto_pool, [256, [64, 128], 0]]  # 23
  - [-1, 3, C2f, [256]]  # 24
  - [[-1, 12], 1, AdvPoolFusion, []]  # 25
  - [[-1, 21], 1, InjectionMultiSum_Auto_pool, [512, [64, 128], 1]]  # 26
  - [-1, 3, C2f, [1024]]  # 27
  - [[19, 24, 27], 1, Detect, [nc]]  # 28
"""


def written(name: str, head: str = "Detect") -> str:
    """A file with this backbone before YOLOv5's neck."""
    (p3, p4), backbone = BACKBONES[name]
    top = backbone.count("[-1,")
    names = {"top": 0, "middle": 4, "small": 7, "medium": 10, "large": 13}
    rows = {level: top + number for level, number in names.items()}
    return f"{TOP}backbone:{backbone}{HEAD.format(p3=p3, p4=p4, head=head, **rows)}"


def built(path: Path, text: str) -> DetectionModel:
    path.write_text(text)
    model = DetectionModel(load_graph(str(path)), class_count=3).eval()
    assert [str(finding) for finding in lint(path)] == []
    assert model.head.strides == (8, 16, 32)
    assert torch.isfinite(model(torch.rand(1, 3, 64, 96))[0]).all()
    return model


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_stand_in_yolov5s_graph(name: str, tmp_path: Path) -> None:
    built(tmp_path / "public.yaml", written(name))


def test_the_decoupled_head(tmp_path: Path) -> None:
    model: Any = built(tmp_path / "public.yaml", written("ShuffleNetV2", "Decoupled_Detect"))
    assert hasattr(model.head.m[0], "reg_preds")


def test_gold_yolos_neck_in_yolov8s_graph(tmp_path: Path) -> None:
    built(tmp_path / "public.yaml", GOLD)
