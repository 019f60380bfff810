"""A validation batch that does not fit into the memory is run in parts, with the same figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.parts import Parts, usual_part
from models.losses import build_loss
from models.yolo import DetectionModel
from tests.tiny import lively, write_graph
from utils.hyperparameters import Hyperparameters
from utils.structures import Batch

SHORTAGE = "CUDA out of memory. Tried to allocate 2.00 GiB"


class Small(nn.Module):
    """A detector on a device that has memory for some images only."""

    def __init__(self, model: DetectionModel, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.seen = model, most, list[int]()
        self.names, self.family = model.names, model.family

    def forward(self, images: Tensor, augment: bool = False) -> tuple[Tensor, list[Tensor] | None]:
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError(SHORTAGE)
        return self.inner(images, augment=augment)


def batch_of(count: int) -> Batch:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (count, 3, 64, 64), dtype=torch.uint8, generator=draw)
    targets = torch.tensor([[i, i % 2, 5, 5, 40, 40] for i in range(count)], dtype=torch.float32)
    numbers = tuple(range(count))
    places = ((64, 64),) * count, ((1.0, 1.0),) * count, ((0.0, 0.0),) * count
    return Batch(images, targets, numbers, tuple(f"{i}.jpg" for i in numbers), *places)


def test_the_figures_are_those_of_whole_batches_and_a_note_says_so(tmp_path: Path) -> None:
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval()
    loss = build_loss(model.spec, Hyperparameters(), 64, 0.0)
    batches, settings = [batch_of(7), batch_of(3)], EvalSettings(quiet=True, loss=loss)
    expected = evaluate(model, batches, settings)  # type: ignore[arg-type]
    small = Small(model, most=2)
    parted = dataclasses.replace(settings, parts=Parts())
    found = evaluate(small, batches, parted)  # type: ignore[arg-type]
    assert expected.map > 0
    assert (found.map, found.map50, found.classes) == (
        expected.map,
        expected.map50,
        expected.classes,
    )
    assert found.losses == pytest.approx(expected.losses, rel=1e-6)
    # 7, 4 and 2 are tried; what did not fit once is not tried again.
    assert small.seen == [7, 4, 2, 2, 2, 1, 2, 1]
    assert set(found.notes) - set(expected.notes) == {
        "the memory was too small to validate 7 images at once, so they were run 2 at a time, which"
        " is slower; the scores are the same up to rounding"
    }


def test_augmented_passes_have_no_maps_and_no_losses(tmp_path: Path) -> None:
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval()
    small = Small(model, most=1)
    loss = build_loss(model.spec, Hyperparameters(), 64, 0.0)
    settings = EvalSettings(quiet=True, loss=loss, augment=True)
    found = evaluate(small, [batch_of(2)], settings)  # type: ignore[arg-type]
    expected = evaluate(model, [batch_of(2)], dataclasses.replace(settings, parts=Parts()))  # type: ignore[arg-type]
    assert (found.map, found.map50) == (expected.map, expected.map50)
    assert set(found.losses) == {0.0}


@pytest.mark.parametrize(
    ("most", "error"), [(0, torch.OutOfMemoryError(SHORTAGE)), (2, RuntimeError("a bug"))]
)
def test_a_single_image_that_does_not_fit_and_a_bug_end_the_evaluation(
    most: int, error: RuntimeError
) -> None:
    def work(places: slice) -> None:
        if places.stop - places.start > most or "bug" in str(error):
            raise error

    parts = Parts()
    with pytest.raises(RuntimeError, match=str(error)):
        parts.run(work, 4, 4)
    assert parts.most == (1 if most == 0 else 0)


@pytest.mark.parametrize(
    ("count", "size", "device", "expected"),
    [
        (16, (640, 640), "cpu", 4),
        (16, (672, 448), "cpu", 4),
        (9, (640, 640), "cpu", 3),  # three of 3 rather than 4, 4 and 1
        (16, (320, 320), "cpu", 16),
        (5, (4000, 4000), "cpu", 1),
        (16, (640, 640), "cuda", 16),
    ],
)
def test_a_processor_computes_a_few_images_at_once(
    count: int, size: tuple[int, int], device: str, expected: int
) -> None:
    assert usual_part(count, size, torch.device(device)) == expected


def test_a_shortage_never_makes_parts_larger() -> None:
    """--task study validates several sizes of image, of which fewer are computed at once."""
    parts = Parts()

    def work(places: slice) -> int:
        if places.stop - places.start > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return places.stop - places.start

    assert parts.run(work, 16, usual=16) == [8, 8]
    assert parts.run(work, 16, usual=4) == [4, 4, 4, 4]


def test_the_figures_do_not_depend_on_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval()
    loss = build_loss(model.spec, Hyperparameters(), 64, 0.0)
    settings = EvalSettings(quiet=True, loss=loss, save_hybrid=True)
    sizes = []
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    expected = evaluate(model, [batch_of(7)], settings)  # type: ignore[arg-type]
    monkeypatch.setattr("engine.parts.PROCESSOR_PIXELS", 3 * 64 * 64)
    found = evaluate(model, [batch_of(7)], settings)  # type: ignore[arg-type]
    assert sizes == [7, 3, 3, 1]
    assert expected.map > 0
    assert (found.map, found.classes) == (expected.map, expected.classes)
    assert found.losses == pytest.approx(expected.losses, rel=1e-6)
    assert not any("memory" in note for note in found.notes)
