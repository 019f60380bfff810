"""The fused copy follows the weights, and is kept while they stay."""

from __future__ import annotations

import torch

from api.fused import FusedCopy
from api.yolo import YOLO


def test_the_copy_is_kept_until_a_weight_changes(graph):
    model, copies, device = YOLO(graph).model, FusedCopy(), torch.device("cpu")
    first = copies.of(model, device)
    assert first is not model
    assert copies.of(model, device) is first
    with torch.no_grad():
        next(model.parameters()).add_(1)
    second = copies.of(model, device)
    assert second is not first
    model.names = {0: "other", 1: "names"}
    assert copies.of(model, device) is second
    assert second.names == model.names


def test_predictions_follow_the_weights(weights, folder):
    model = YOLO(weights)
    source = folder / "images" / "val" / "001.png"
    before = model(source, conf=0.3, verbose=False)[0].boxes.data
    assert torch.equal(model(source, conf=0.3, verbose=False)[0].boxes.data, before)
    with torch.no_grad():
        for value in model.model.head.parameters():
            value *= 0.5
    after = model(source, conf=0.3, verbose=False)[0].boxes.data
    assert before.shape != after.shape or not torch.equal(before, after)
