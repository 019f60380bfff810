"""ASFF heads mix levels by the paper's equation, in both families, and train."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.graph.load import load_graph
from models.heads.asff import ASFFDetect, ASFFDetectV8, LevelFusion
from models.yolo import DetectionModel
from utils.errors import UserError

CHANNELS = (8, 4, 2)  # coarsest first


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_pixel_is_the_weighted_mean_of_all_levels(level: int) -> None:
    fusion = LevelFusion(level, CHANNELS).eval().double()
    maps = [torch.randn(2, width, 3 * 2**i, 2 * 2**i).double() for i, width in enumerate(CHANNELS)]
    brought: list[Tensor] = []
    for other, x in enumerate(maps):
        if other < level:
            squeezed = fusion.get_submodule(f"compress_level_{other}")(x)
            side = 2 ** (level - other)
            brought.append(squeezed.repeat_interleave(side, 2).repeat_interleave(side, 3))
        elif other == level:
            brought.append(x)
        else:
            pooled = F.max_pool2d(x, 3, 2, 1) if other - level == 2 else x
            brought.append(fusion.get_submodule(f"stride_level_{other}")(pooled))
    logits = torch.cat(
        [fusion.get_submodule(f"weight_level_{i}")(x) for i, x in enumerate(brought)], 1
    )
    weights = fusion.weight_levels(logits).exp()
    weights = weights / weights.sum(1, keepdim=True)
    mixed = sum(
        (x * weights[:, i : i + 1] for i, x in enumerate(brought)), torch.zeros(()).double()
    )
    torch.testing.assert_close(fusion(maps), fusion.expand(mixed))


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("yolov5n.yaml", "ASFF_Detect", ASFFDetect),
        ("yolov8n.yaml", "Detect_ASFF", ASFFDetectV8),
        ("yolo11n.yaml", "ASFFHead", ASFFDetectV8),
    ],
)
def test_graphs_of_both_families(file: str, name: str, kind: Any) -> None:
    content = load_graph(file)
    content["head"][-1][2] = name
    model = DetectionModel(content, class_count=2)
    assert type(model.head) is kind
    raw = model.train()(torch.rand(2, 3, 64, 64))
    sum(level.square().mean() for level in raw).backward()
    frozen = {"dfl.conv.weight"}
    for key, parameter in model.head.named_parameters():
        assert key in frozen or (
            parameter.grad is not None and bool(parameter.grad.isfinite().all())
        )
    assert model.eval()(torch.rand(1, 3, 64, 96))[0].isfinite().all()


def test_other_numbers_of_levels_are_refused() -> None:
    content = load_graph("yolov5n.yaml")
    content["head"][-1] = [[17, 20], 1, "ASFF_Detect", ["nc", "anchors"]]
    content["anchors"] = content["anchors"][:2]
    with pytest.raises(UserError, match="mixes 3 levels, but gets 2 maps"):
        DetectionModel(content)
