"""Detectors with lively scores, and images, for the tests of exported files."""

from __future__ import annotations

from pathlib import Path

import torch

from models.graph.load import load_graph
from models.yolo import DetectionModel
from utils.nms import NMSSettings, non_max_suppression

NAMES = {0: "bright", 1: "dark"}


def detector(path: Path) -> DetectionModel:
    """A model whose scores vary, as those of a trained one do."""
    model = DetectionModel(load_graph(path), class_count=2, names=NAMES)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in model.head.named_parameters():
            if value.requires_grad:
                value += 0.3 * torch.randn(value.shape, generator=generator)
            if key.endswith("bias") and value.shape[0] in (
                2,
                21,
            ):  # classes, or all of three anchors
                value += 4
    return model.eval()


def noise(*shape: int) -> torch.Tensor:
    """Images of random values in 0..1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def expected(model: DetectionModel, images: torch.Tensor) -> torch.Tensor:
    """The output that a file without suppression must have."""
    with torch.no_grad():
        decoded = model(images)[0]
    return decoded if model.family.has_objectness else decoded.transpose(1, 2)


def suppressed(
    model: DetectionModel, images: torch.Tensor, most: int, conf: float = 0.05
) -> torch.Tensor:
    """What detect.py finds in one image."""
    with torch.no_grad():
        decoded = model(images)[0]
    return non_max_suppression(decoded, model.family, NMSSettings(conf, 0.5, most))[0]
