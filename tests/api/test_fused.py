"""The fused copy follows the weights, and is kept while they stay."""

from __future__ import annotations

import copy
import pickle
import threading

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


def test_half_weights_are_a_copy_of_their_own(graph, monkeypatch):
    monkeypatch.setattr("engine.detector_model.choose_half", lambda device: "bf16")
    model, copies, device = YOLO(graph).model, FusedCopy(), torch.device("cpu")
    kinds = [
        next(copies.of(model, device, half).parameters()).dtype for half in (False, True, False)
    ]
    assert kinds == [torch.float32, torch.bfloat16, torch.float32]
    assert next(model.parameters()).dtype == torch.float32


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


def test_first_calls_in_parallel_make_one_copy(graph):
    model, copies, device = YOLO(graph).model, FusedCopy(), torch.device("cpu")
    start, found = threading.Barrier(8), []

    def call() -> None:
        start.wait()
        found.append(copies.of(model, device))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_models_made_in_inference_mode_predict_outside_of_it(graph, folder):
    source = folder / "images" / "val" / "001.png"
    with torch.inference_mode():
        model = YOLO(graph)
        inside = model(source, imgsz=64, verbose=False)[0].boxes.data
    assert torch.equal(model(source, imgsz=64, verbose=False)[0].boxes.data, inside)


def test_a_model_that_was_called_can_be_copied_and_pickled(graph, folder):
    model, source = YOLO(graph), folder / "images" / "val" / "001.png"
    answer = model(source, imgsz=64, verbose=False)[0].boxes.data
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(source, imgsz=64, verbose=False)[0].boxes.data, answer)
