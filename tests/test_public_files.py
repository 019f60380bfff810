"""Small model files, written as public repositories write theirs, build as their authors meant.

Each case puts one row, or one block, into a graph of YOLOv5, YOLOv8 or YOLO11. What a row means is
stated beside it: the module, and its options or the module inside a block. Nothing may be reported
about any of these files, and --fix must leave them as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import ATTENTION, build_attention
from models.graph.info import row_info
from models.graph.load import load_graph
from models.lint.fix import lint_file
from models.yolo import DetectionModel

V5 = """
nc: 80
depth_multiple: 0.33
width_multiple: 0.50
anchors:
  - [10,13, 16,30, 33,23]
  - [30,61, 62,45, 59,119]
  - [116,90, 156,198, 373,326]
backbone:
  [[-1, 1, Conv, [64, 6, 2, 2]],  # 0-P1/2
   [-1, 1, Conv, [128, 3, 2]],  # 1-P2/4
   [-1, 3, C3, [128]],
   [-1, 1, Conv, [256, 3, 2]],  # 3-P3/8
   [-1, 6, C3, [256]],
   [-1, 1, Conv, [512, 3, 2]],  # 5-P4/16
   [-1, 9, C3, [512]],
   [-1, 1, Conv, [1024, 3, 2]],  # 7-P5/32
   [-1, 3, C3, [1024]],
   [-1, 1, SPPF, [1024, 5]],  # 9
  ]
head:
  [[-1, 1, Conv, [512, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 6], 1, Concat, [1]],
   [-1, 3, C3, [512, False]],  # 13
   [-1, 1, Conv, [256, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 4], 1, Concat, [1]],
   [-1, 3, C3, [256, False]],  # 17 (P3/8-small)
   [-1, 1, Conv, [256, 3, 2]],
   [[-1, 14], 1, Concat, [1]],
   [-1, 3, C3, [512, False]],  # 20 (P4/16-medium)
   [-1, 1, Conv, [512, 3, 2]],
   [[-1, 10], 1, Concat, [1]],
   [-1, 3, C3, [1024, False]],  # 23 (P5/32-large)
   [[17, 20, 23], 1, Detect, [nc, anchors]],
  ]
"""
V8 = """
nc: 80
scales:
  n: [0.33, 0.25, 1024]
  s: [0.33, 0.50, 1024]
  m: [0.67, 0.75, 768]
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 3, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 6, C2f, [256, True]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 6, C2f, [512, True]]
  - [-1, 1, Conv, [1024, 3, 2]]
  - [-1, 3, C2f, [1024, True]]
  - [-1, 1, SPPF, [1024, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, "nearest"]]
  - [[-1, 6], 1, Concat, [1]]
  - [-1, 3, C2f, [512]]
  - [-1, 1, nn.Upsample, [None, 2, "nearest"]]
  - [[-1, 4], 1, Concat, [1]]
  - [-1, 3, C2f, [256]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [[-1, 12], 1, Concat, [1]]
  - [-1, 3, C2f, [512]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [[-1, 9], 1, Concat, [1]]
  - [-1, 3, C2f, [1024]]
  - [[15, 18, 21], 1, Detect, [nc]]
"""
V11 = (
    V8.replace("C2f, [128, True]", "C3k2, [256, False, 0.25]")
    .replace("C2f, [256, True]", "C3k2, [512, False, 0.25]")
    .replace("C2f, [512, True]", "C3k2, [512, True]")
    .replace("C2f, [1024, True]", "C3k2, [1024, True]")
    .replace("C2f, [1024]", "C3k2, [1024, True]")
    .replace("C2f, [512]", "C3k2, [512, False]")
    .replace("C2f, [256]", "C3k2, [256, False]")
)
FILES = {"v5": ("yolov5s", V5), "v8": ("yolov8n", V8), "v11": ("yolo11n", V11)}
LAST = {  # the last row before the head, behind which attention is put, and the head's inputs
    "v5": ("[-1, 3, C3, [1024, False]],  # 23 (P5/32-large)", "[17, 20, 23]", "[17, 20, 24]"),
    "v8": ("  - [-1, 3, C2f, [1024]]", "[15, 18, 21]", "[15, 18, 22]"),
    "v11": ("  - [-1, 3, C3k2, [1024, True]]", "[15, 18, 21]", "[15, 18, 22]"),
}
WIDTHS = {"v5": 512, "v8": 256, "v11": 256}  # channels of that row

# program, row behind the last stage, our module, its options
ROWS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("v5", "EMA, [8]", "EMA", {"factor": 8}),
    ("v8", "EMA, [8]", "EMA", {"factor": 8}),
    ("v11", "EMA, [16]", "EMA", {"factor": 16}),
    ("v5", "EMA, []", "EMA", {"factor": 8}),
    ("v8", "EMA, [1024]", "EMA", {"factor": 8}),
    ("v5", "LSKA, [23]", "LSKA", {"k_size": 23}),
    ("v8", "LSKA, [11]", "LSKA", {"k_size": 11}),
    ("v8", "LSKA, [1024, 35]", "LSKA", {"k_size": 35}),
    ("v5", "CBAMBlock, [1]", "CBAM", {"reduction": 1}),
    ("v5", "CBAM, [1024, 16, 7]", "CBAM", {}),
    ("v5", "CBAMBlock, [1024, 16, 49]", "CBAM", {"kernel_size": 49}),
    ("v5", "CBAM, [1024]", "CBAM", {}),
    ("v5", "CBAM, [1024, 3]", "CBAM", {"kernel_size": 3}),
    ("v8", "CBAM, []", "CBAM", {"formula": "ultralytics"}),
    ("v8", "CBAM, [7]", "CBAM", {"formula": "ultralytics"}),
    ("v11", "CBAM, [1024, 3]", "CBAM", {"formula": "ultralytics", "kernel_size": 3}),
    ("v8", "CBAMBlock, []", "CBAM", {}),
    ("v5", "SE, [16]", "SE", {}),
    ("v8", "SEAttention, [16]", "SE", {}),
    ("v8", "SEAttention, [8]", "SE", {"reduction": 8}),
    ("v5", "SEBlock, [16, conv]", "SE", {}),
    ("v5", "SELayer, [1024, 4]", "SE", {"reduction": 4}),
    ("v5", "CA, [32]", "CoordAttention", {}),
    ("v5", "CABlock, [1024]", "CoordAttention", {}),
    ("v5", "CoordAtt, [1024, 1024]", "CoordAttention", {}),
    ("v8", "CoordAtt, []", "CoordAttention", {}),
    ("v5", "ShuffleAttention, [16, 8]", "ShuffleAttention", {"groups": 8}),
    ("v8", "ShuffleAttention, [1024, 16, 8]", "ShuffleAttention", {"groups": 8}),
    ("v5", "SKAttention, [[1, 3], 16, 1, 32]", "SKAttention", {"kernels": (1, 3)}),
    ("v8", "SKAttention, [1024]", "SKAttention", {}),
    ("v5", "SimAM, [1e-4]", "SimAM", {}),
    ("v8", "SimAM, []", "SimAM", {}),
    ("v5", "SimAM, [1024]", "SimAM", {}),
    ("v5", "GAM_Attention, [1024, 1024]", "GAM", {}),
    ("v5", "NAMAttention, [1024]", "NAM", {}),
    ("v8", "ECA, [5]", "ECA", {"k_size": 5}),
    ("v5", "ECAAttention, [1024, 3]", "ECA", {"k_size": 3}),
    ("v8", "TripletAttention, []", "TripletAttention", {}),
    ("v5", "BAMBlock, [1024]", "BAM", {}),
    ("v8", "LSKblock, []", "LSK", {}),
    ("v5", "CrissCrossAttention, [1024]", "CrissCross", {}),
    ("v5", "S2Attention, [1024]", "S2", {}),
    ("v8", "SEAM, [1024, 1, 16]", "SEAM", {}),
    ("v8", "SEAM, [1024, 1, 8]", "SEAM", {"reduction": 8}),
    ("v8", "MultiSEAM, [1024, 1, 3, [2, 3, 4], 16]", "MultiSEAM", {"patch": (2, 3, 4)}),
    ("v8", "BiLevelRoutingAttention, []", "BiFormer", {}),
    ("v11", "iRMB, [1024]", "iRMB", {}),
    ("v8", "ELA, [1024]", "ELA", {}),
    ("v8", "MSCAAttention, []", "MSCA", {}),
    ("v8", "MLCA, []", "MLCA", {}),
    ("v8", "CPCA, []", "CPCA", {}),
    ("v8", "CAA, []", "CAA", {}),
    ("v8", "FocalModulation, []", "FocalModulation", {}),
    ("v8", "DAttentionBaseline, [[8, 8]]", "DAttention", {"q_size": (8, 8)}),
    ("v5", "SpatialGroupEnhance, [8]", "SGE", {"groups": 8}),
    ("v5", "ParNetAttention, [1024, 0.5, 2]", "ParNetAttention", {}),
    ("v5", "CoTAttention, [1024]", "CoTAttention", {}),
    ("v8", "MHSA, []", "MHSA", {}),
]
# program, block in place of the last stage, our block, the module inside, and where
BLOCKS: list[tuple[str, str, str, str]] = [
    ("v5", "[-1, 3, C3SE, [1024, False]]", "C3", "m.0.attention SE"),
    ("v5", "[-1, 3, C3CBAM, [1024, False]]", "C3", "m.0.attention CBAM"),
    ("v5", "[-1, 3, CBAMC3, [1024, False]]", "C3", "m.0.attention CBAM"),
    ("v5", "[-1, 3, C3CA, [1024]]", "C3", "m.0.attention CoordAttention"),
    ("v5", "[-1, 3, C3ECA, [1024]]", "C3", "m.0.attention ECA"),
    ("v5", "[-1, 3, C3_SE_Attention, [1024]]", "C3", "m.0.attention SE"),
    ("v8", "[-1, 3, C2f_EMA, [1024]]", "C2f", "m.0.attention EMA"),
    ("v8", "[-1, 3, C2f_LSKA_Attention, [1024]]", "C2f", "m.0.attention LSKA"),
    ("v8", "[-1, 3, C2f_SimAM, [1024, True]]", "C2f", "m.0.attention SimAM"),
    ("v11", "[-1, 2, C3k2_SE, [1024, False, 0.25]]", "C3k2", "m.0.attention SE"),
    ("v5", "[-1, 1, Bottleneck_SE, [1024]]", "Bottleneck", "attention SE"),
    ("v8", "[-1, 1, SPPF_LSKA, [1024, 5]]", "SPPF", "cv2.input_attention LSKA"),
    ("v5", "[-1, 1, Conv_CBAM, [1024, 3, 1]]", "Conv", "output_attention CBAM"),
    ("v8", "[-1, 1, ConvCBAM, [1024, 3]]", "Conv", "output_attention CBAM"),
    ("v5", "[-1, 1, ResBlock_CBAM, [1024]]", "ResBlock", "attention CBAM"),
    ("v5", "[-1, 3, BoT3, [1024]]", "BoT3", "m.0.cv2.0 MHSA"),
    ("v5", "[-1, 3, CoT3, [1024]]", "CoT3", "m.0.cv2 CoTAttention"),
    ("v5", "[-1, 3, C3STR, [1024]]", "C3STR", ""),
    ("v11", "[-1, 4, A2C2f, [1024, True, 1]]", "A2C2f", "m.0.0.attn AAttn"),
    ("v5", "[-1, 3, VoVGSCSP, [1024]]", "VoVGSCSP", ""),
    ("v5", "[-1, 1, GSConv, [1024]]", "GSConv", ""),
    ("v5", "[-1, 1, SPPCSPC, [1024]]", "SPPCSPC", ""),
    ("v5", "[-1, 1, nn.Conv2d, [1024, 1, 1]]", "Conv2d", ""),
]
# program, text that is replaced, its replacement
CHANGES: list[tuple[str, str, str]] = [
    ("v5", "nn.Upsample, [None, 2, 'nearest']", "CARAFE, [3, 5]"),
    ("v5", "[-1, 1, SPPF, [1024, 5]]", "[-1, 1, SPPFCSPC, [1024]]"),
    ("v8", "- [-1, 1, SPPF, [1024, 5]]", "- [-1, 1, SPPF_LSKA, [1024, 5]]"),
    ("v8", "- [-1, 1, SPPF, [1024, 5]]", "- [-1, 1, PSA, [1024]]"),
    ("v8", "- [-1, 1, SPPF, [1024, 5]]", "- [-1, 1, C2PSA_EMA, [1024]]"),
    ("v11", "- [-1, 1, SPPF, [1024, 5]]", "- [-1, 2, C2PSA_TripleAttention, [1024]]"),
    ("v8", 'nn.Upsample, [None, 2, "nearest"]', "DySample, []"),
    ("v8", 'nn.Upsample, [None, 2, "nearest"]', "DySample, [2, 'lp']"),
    ("v5", "[[-1, 6], 1, Concat, [1]]", "[[-1, 6], 1, BiFPN_Concat2, [1]]"),
    ("v8", "[[-1, 6], 1, Concat, [1]]", "[[-1, 6], 1, Concat_BiFPN, [1]]"),
    ("v5", "[[-1, 14], 1, Concat, [1]]", "[[-1, 14], 1, Add, [1]]"),
    ("v5", "[[-1, 14], 1, Concat, [1]]", "[[-1, 14], 1, BiFPN_Add2, [256, 256]]"),
    ("v5", "[-1, 1, Conv, [1024, 3, 2]],  # 7-P5/32", "[-1, 1, SPDConv, [1024]],  # 7-P5/32"),
    ("v8", "- [-1, 1, Conv, [1024, 3, 2]]", "- [-1, 1, SCDown, [1024, 3, 2]]"),
    ("v5", "anchors:\n", "scales:\nanchors:\n"),  # beside depth_multiple and width_multiple
    ("v8", "nc: 80\n", "nc: 80\nreg_max: 1\n"),
]


def replaced_last(text: str, old: str, new: str) -> str:
    before, _, behind = text.rpartition(old)
    return before + new + behind


def content_of(folder: Path, program: str, text: str) -> tuple[Path, dict[str, Any]]:
    file = folder / f"{FILES[program][0]}.yaml"
    file.write_text(text)
    return file, load_graph(file)


def checked(file: Path, content: dict[str, Any]) -> DetectionModel:
    """The network of a file, about which there is nothing to report or to fix."""
    linted = lint_file(file)
    assert linted.findings == []
    assert linted.content == content
    with torch.device("meta"):
        return DetectionModel(content)


def row_at(model: DetectionModel, index: int) -> nn.Module:
    return next(row for row in model.model if row_info(row).index == index)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(("program", "row", "name", "options"), ROWS, ids=lambda value: str(value))
def test_an_attention_row(
    program: str, row: str, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    last, inputs, shifted = LAST[program]
    new = f"   [-1, 1, {row}]," if program == "v5" else f"  - [-1, 1, {row}]"
    text = replaced_last(FILES[program][1], last, f"{last}\n{new}").replace(inputs, shifted)
    model = checked(*content_of(tmp_path, program, text))
    module = row_at(model, len(model.model) - 2)
    with torch.device("meta"):
        meant = build_attention(name, WIDTHS[program], **options)
    assert type(module) is ATTENTION[name]
    assert shapes(module) == shapes(meant)
    assert module.extra_repr() == meant.extra_repr()


@pytest.mark.parametrize(
    ("program", "row", "block", "inside"), BLOCKS, ids=lambda value: str(value)
)
def test_a_block(program: str, row: str, block: str, inside: str, tmp_path: Path) -> None:
    last = LAST[program][0]
    new = f"{row},  # 23 (P5/32-large)" if program == "v5" else f"  - {row}"
    model = checked(*content_of(tmp_path, program, replaced_last(FILES[program][1], last, new)))
    module = row_at(model, len(model.model) - 2)
    module = module[0] if isinstance(module, nn.Sequential) else module
    assert type(module).__name__ == block
    path, _, kind = inside.partition(" ")
    if path:
        assert type(module.get_submodule(path)).__name__ == kind


@pytest.mark.parametrize(("program", "old", "new"), CHANGES, ids=lambda value: str(value))
def test_another_row(program: str, old: str, new: str, tmp_path: Path) -> None:
    text = FILES[program][1].replace(old, new)
    assert text != FILES[program][1]
    file, content = content_of(tmp_path, program, text)
    checked(file, content)
    model = DetectionModel(content, class_count=2)
    image = torch.rand(2, 3, 64, 64)
    raw: list[Tensor] = model.train()(image)
    sum(level.sum() for level in raw).backward()
    assert model.eval()(image)[0].isfinite().all()


def test_there_are_eighty_files() -> None:
    assert len(ROWS) + len(BLOCKS) + len(CHANGES) >= 80
