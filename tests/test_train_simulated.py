"""Training steps, a validation and a detection on a simulated GPU: what they launch and wait for.

The bounds are what was counted. They may be lowered, and are raised only with a reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import train
from bench.device_counts import count_step
from engine.detector_model import in_half
from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.inference.detector import Detector
from engine.inference.settings import DetectConfig
from models.losses import build_loss
from tests.simulated_cuda import COUNTS, CUDA, simulate, simulated_cuda
from tests.tiny import (
    FREE_GRAPH,
    lively,
    run_flags,
    write_data,
    write_free_graph,
    write_graph,
)
from utils.device import autocast
from utils.hyperparameters import Hyperparameters
from utils.structures import Batch, Frame

WAITS = 3  # of a step: two for the assignment of targets, and one for the figures of the batch
# Of a batch with its loss, and of an image, of which suppression must know how many boxes are left.
# Four of a batch are the clock's, which a device does not feel: it has nothing to do then.
WAITS_OF_VALIDATION = (11, 1)
WAITS_OF_DETECTION = 5  # one of them is the clock's
GRAPHS = {"yolov5n.yaml": 1021, "yolov8.yaml": 1325, "yolo11.yaml": 1582}


def write_eleven(folder: Path) -> Path:
    """A detector of YOLO11's kind."""
    backbone = [*FREE_GRAPH["backbone"][:2], [-1, 2, "C3k2", [64, False, 0.25]]]
    backbone += [[-1, 1, "Conv", [64, 3, 2]], [-1, 2, "C2PSA", [64]], [-1, 1, "Conv", [128, 3, 2]]]
    path = folder / "yolo11n-tiny.yaml"
    path.write_text(yaml.safe_dump({**FREE_GRAPH, "backbone": backbone}))
    return path


@pytest.mark.parametrize(
    ("write", "capability", "optimizer", "launches"),
    [
        (write_graph, (8, 0), "SGD", 536),
        (write_free_graph, (7, 0), "SGD", 839),
        (write_eleven, (8, 0), "SGD", 906),
        pytest.param(write_graph, (7, 0), "AdamW", 551, marks=pytest.mark.slow),
        pytest.param(write_free_graph, (8, 0), "AdamW", 833, marks=pytest.mark.slow),
        pytest.param(write_eleven, (7, 0), "SGD", 915, marks=pytest.mark.slow),
    ],
)  # 8.0 multiplies in bf16, 7.0 in fp16 with a scaler
def test_a_training_step_waits_seldom_and_launches_little(
    tmp_path: Path,
    write: Callable[[Path], Path],
    capability: tuple[int, int],
    optimizer: str,
    launches: int,
) -> None:
    counts = count_step(str(write(tmp_path)), capability, optimizer)
    assert (counts.waits, counts.copies) == (WAITS, 0), counts
    assert counts.launches <= launches


@pytest.mark.slow
@pytest.mark.parametrize("cfg", GRAPHS)
def test_a_step_of_a_shipped_graph_does_so(cfg: str) -> None:
    counts = count_step(cfg)
    assert (counts.waits, counts.copies) == (WAITS, 0), counts
    assert counts.launches <= GRAPHS[cfg]


def test_a_run_on_a_gpu_is_trained_validated_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of several sizes, of which each waits as seldom, in fp16."""
    waits: list[tuple[int, int]] = []
    train_batch = train.train_batch

    def counted(*arguments):
        COUNTS.clear()
        result = train_batch(*arguments)
        waits.append((COUNTS.waits.total(), COUNTS.copies.total()))
        return result

    monkeypatch.setattr(train, "train_batch", counted)
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))
    data = write_data(tmp_path, train=12)
    flags = run_flags(write_graph(tmp_path), data, "--epochs", "1", "--noplots", "--multi-scale")
    flags[flags.index("cpu")] = "0"
    with simulated_cuda((7, 0)):
        metrics = train.main([*flags, "--optimizer", "SGD", "--project", str(tmp_path / "runs")])
    assert metrics is not None
    assert metrics.images == 4
    assert len(waits) == 3
    assert waits[1:] == [(WAITS, 0)] * 2


def example(count: int) -> Batch:
    torch.manual_seed(0)
    images = torch.randint(0, 255, (count, 3, 64, 64), dtype=torch.uint8)
    targets = torch.tensor([[number, number % 2, 5, 5, 40, 40.0] for number in range(count)])
    places = ((64, 64),) * count, ((1.0, 1.0),) * count, ((0.0, 0.0),) * count
    paths = tuple(f"{number}.jpg" for number in range(count))
    return Batch(images, targets, tuple(range(count)), paths, *places)


def pinned(batch: Batch) -> Batch:
    """A batch as a loader for a GPU gives it."""
    images, targets = batch.images.pin_memory(), batch.targets.pin_memory()
    return dataclasses.replace(batch, images=images, targets=targets)


@pytest.mark.parametrize("write", [write_graph, write_free_graph])
def test_a_validation_gives_the_same_scores_with_few_waits(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    model = lively(write(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    settings = EvalSettings(quiet=True, loss=build_loss(model.spec, Hyperparameters(), 64))
    expected = evaluate(model, [example(2)], settings)
    simulate(model)
    with simulated_cuda():
        found = evaluate(model, [example(2)], settings)
        evaluate(model, [example(6)], settings)
        COUNTS.clear()
        evaluate(model, [pinned(example(6))], settings)
    assert expected.map > 0
    assert (found.map50, found.map, found.classes) == (
        expected.map50,
        expected.map,
        expected.classes,
    )
    assert found.losses == pytest.approx(expected.losses)
    of_batch, of_image = WAITS_OF_VALIDATION
    assert COUNTS.waits.total() <= of_batch + 6 * of_image, COUNTS.waits
    assert COUNTS.copies.total() == 0, COUNTS.copies


def test_a_detection_waits_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tensors of a subclass cannot be made in inference mode.
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    frame = Frame(np.zeros((60, 50, 3), np.uint8), "a.jpg", "a.jpg")
    simulate(model)
    with simulated_cuda():
        detector = Detector(model, DetectConfig(imgsz=(64,), conf_thres=0.01, half=True))
        detector(frame)
        COUNTS.clear()
        found = detector(frame)
    assert len(found.detections.boxes)
    assert COUNTS.waits.total() <= WAITS_OF_DETECTION, COUNTS.waits
    assert COUNTS.copies.total() == 0, COUNTS.copies
    assert COUNTS.operations <= 126


def test_half_weights_are_not_cast_again_for_each_batch(tmp_path: Path) -> None:
    operations = []
    for half in (False, True):
        model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
        if half:
            assert in_half(model, CUDA) == "fp16"
        with simulated_cuda(), torch.no_grad(), autocast(CUDA, "fp16"):
            images = torch.zeros(1, 3, 64, 64, device=CUDA)
            simulate(model)
            COUNTS.clear()
            assert model(images)[0].dtype == torch.float32
            operations.append(COUNTS.operations)
    assert operations[0] - operations[1] >= len(list(model.parameters())) > 10, operations


def test_tensors_of_two_devices_do_not_meet() -> None:
    with simulated_cuda():
        x = torch.ones(3, device=CUDA)
        with pytest.raises(RuntimeError, match="tensors of the device and of the CPU"):
            x + torch.ones(3)
