"""The automatic batch fills its share of the memory, says why, and refuses what cannot fit."""

from __future__ import annotations

import pytest
import torch

from engine.training import autobatch
from engine.training.autobatch import fit_batch_size, largest_batch
from tests.simulated_cuda import CUDA, simulate, simulated_cuda
from utils.errors import UserError

GIB = 1 << 30


class Levels(torch.nn.Module):
    """A network with one level, which cannot compute more than some images at once."""

    channels = 3

    def __init__(self, most: int) -> None:
        super().__init__()
        self.conv, self.most, self.seen = torch.nn.Conv2d(3, 4, 1), most, list[int]()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return [self.conv(images)]

    def __deepcopy__(self, _: object) -> Levels:  # so that the test sees what the copy is given
        return self


def choose(monkeypatch: pytest.MonkeyPatch, most: int) -> autobatch.BatchChoice:
    """Of a GPU with 10 GiB, 1 of them in use by this process, and 1 GiB for each image."""
    model = Levels(most)
    with simulated_cuda(), monkeypatch.context() as patch:
        for name, value in {
            "mem_get_info": lambda _: (9 * GIB, 16 * GIB),
            "memory_reserved": lambda _: GIB,
            "max_memory_allocated": lambda _: (1 + model.seen[-1]) * GIB,
            "reset_peak_memory_stats": lambda _: None,
            "empty_cache": lambda: None,
        }.items():
            patch.setattr(torch.cuda, name, value)
        return fit_batch_size(simulate(model), 32, CUDA)


def test_the_choice_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    size, reason = choose(monkeypatch, most=4)
    assert size == 7  # 8 of 10 GiB, and 8 images were too many
    assert reason == (
        "--batch-size -1: taking 7 for about 8.00 GiB, 80% of the 10.00 GiB that are free on cuda:0"
        " (at most 80% are wanted); measured images of 32 pixels: 1 in 2.00 GiB, 2 in 3.00 GiB, 4"
        " in 5.00 GiB"
    )


def test_what_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--batch-size -1: not one image of 32 pixels fits into"):
        choose(monkeypatch, most=0)
    monkeypatch.setattr(autobatch, "MEMORY_SHARE", 0.1)
    size, reason = choose(monkeypatch, most=1)
    assert size == 1
    assert "20% of the 10.00 GiB" in reason
    assert "more than that, but the least there is" in reason


def test_another_error_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Levels, "forward", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        choose(monkeypatch, most=4)


def test_a_processor_takes_the_usual_batch_and_says_so() -> None:
    size, reason = fit_batch_size(torch.nn.Identity(), 640, torch.device("cpu"))
    assert size == 16
    assert "taking 16, since cpu does not say" in reason


def test_the_batch_follows_the_line_of_measured_memory() -> None:
    assert largest_batch({1: 150, 2: 200, 16: 900}, 1100.0) == 20
    assert largest_batch({1: 150}, 1100.0) == 1
    assert largest_batch({1: 150, 2: 200}, 120.0) == 1
    assert largest_batch({1: 1, 16: 16}, 1e9) == 1024
