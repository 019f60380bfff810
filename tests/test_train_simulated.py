"""A training step, a validation and a detection on a simulated GPU: what they launch and wait for.

The bounds are what was counted. They may be lowered, and are raised only with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import train
from engine.detector_model import in_half
from engine.evaluation.evaluate import EvalSettings, evaluate
from tests.simulated_cuda import COUNTS, CUDA, simulate, simulated_cuda
from tests.tiny import lively, run_flags, write_data, write_free_graph, write_graph
from utils.device import autocast
from utils.structures import Batch

WAITS = {write_graph: 5, write_free_graph: 4}  # of a training step
VALIDATION_WAITS = 4  # of a batch: two selections, the images' counts, and the result
OPERATIONS = {write_graph: 590, write_free_graph: 870}  # launches of a training step


@pytest.mark.parametrize(
    ("write", "capability"), [(write_graph, (8, 0)), (write_free_graph, (7, 0))]
)  # bf16, and fp16 with a scaler
def test_a_training_step_waits_seldom_and_launches_little(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], Path],
    capability: tuple[int, int],
) -> None:
    steps: list[tuple[int, int, int]] = []
    train_batch = train.train_batch

    def counted(*arguments):
        COUNTS.clear()
        result = train_batch(*arguments)
        steps.append((COUNTS.operations, COUNTS.waits.total(), COUNTS.copies.total()))
        return result

    monkeypatch.setattr(train, "train_batch", counted)
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))
    flags = run_flags(write(tmp_path), write_data(tmp_path, train=12), "--epochs", "1", "--noplots")
    flags[flags.index("cpu")] = "0"
    with simulated_cuda(capability):
        metrics = train.main([*flags, "--optimizer", "SGD", "--project", str(tmp_path / "runs")])
    assert metrics is not None
    assert metrics.images == 4
    operations, waits, copies = (max(column) for column in zip(*steps[1:], strict=True))
    assert (waits <= WAITS[write], copies == 0, operations <= OPERATIONS[write]) == (True,) * 3, (
        steps
    )


def test_a_validation_has_tensors_of_one_device_only(tmp_path: Path) -> None:
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    targets = torch.tensor([[0, 0, 5, 5, 40, 40], [1, 1, 10, 10, 30, 50.0]])
    places = ((64, 64),) * 2, ((1.0, 1.0),) * 2, ((0.0, 0.0),) * 2
    batch = Batch(images, targets, (0, 1), ("a.jpg", "b.jpg"), *places)
    expected = evaluate(model, [batch], EvalSettings(quiet=True))
    with simulated_cuda():
        found = evaluate(simulate(model), [batch], EvalSettings(quiet=True))
    assert expected.map > 0
    assert (found.map50, found.map, found.classes) == (
        expected.map50,
        expected.map,
        expected.classes,
    )


def test_a_validation_waits_once_for_each_image_and_little_besides(tmp_path: Path) -> None:
    """Suppression has to know how many boxes an image keeps; all else is shared by the batch."""
    count, waits = 16, {}
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    targets = torch.tensor([[number, 0, 5, 5, 40, 40.0] for number in range(count)])
    names = tuple(map(str, range(count)))
    places = ((64, 64),) * count, ((1.0, 1.0),) * count, ((0.0, 0.0),) * count
    images = torch.randint(0, 255, (count, 3, 64, 64), dtype=torch.uint8)
    batch = Batch(images, targets, tuple(range(count)), names, *places)
    with simulated_cuda():
        simulate(model)
        for batches in (1, 2):
            COUNTS.clear()
            evaluate(model, [batch] * batches, EvalSettings(quiet=True, loss=None))
            waits[batches] = COUNTS.waits.total()
    assert waits[2] - waits[1] <= count + VALIDATION_WAITS, COUNTS.waits


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
