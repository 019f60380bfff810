"""Calls about the network of a YOLO object: its device, and how it is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from api.yolo import YOLO
from utils.errors import UserError


def test_the_device_is_the_one_that_computes(graph: Path) -> None:
    model = YOLO(graph)
    assert model.to("cpu") is model.cpu() is model
    assert model.device == torch.device("cpu")
    with pytest.raises(UserError, match="--device 99"):
        model.cuda(99)
    assert model.device == torch.device("cpu")
    assert (model.task, model.ckpt_path) == ("detect", None)


def test_saved_weights_are_those_in_memory(weights: Path, tmp_path: Path) -> None:
    model = YOLO(weights)
    with torch.no_grad():
        next(model.model.parameters()).fill_(0.25)
    model.save(tmp_path / "new" / "saved.pt")
    read = YOLO(tmp_path / "new" / "saved.pt")
    assert (read.names, read.ckpt_path) == (model.names, str(tmp_path / "new" / "saved.pt"))
    assert (next(read.model.parameters()) == 0.25).all()
    image = torch.rand(1, 3, 64, 64)
    a, b = (one(image, conf=0.01, device="cpu", verbose=False)[0] for one in (model, read))
    assert len(a)
    assert torch.allclose(a.boxes.data, b.boxes.data, atol=0.5)  # weights are saved as float16


def test_fused_weights_are_not_saved(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.pt: the batch norms are fused; save before fuse"):
        YOLO(graph).fuse().save(tmp_path / "x.pt")
    assert not (tmp_path / "x.pt").exists()
