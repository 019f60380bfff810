"""Devices are chosen as YOLOv5's flag says, impossible ones named."""

from __future__ import annotations

import pytest
import torch

from utils.device import (
    _largest_batch,
    autocast,
    choose_dtype,
    choose_half,
    finish_queue,
    fit_batch_size,
    memory_text,
    select_device,
)
from utils.errors import UserError


def test_cpu_and_the_impossible() -> None:
    assert select_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="torchrun --nproc_per_node 2"):
        select_device("0,1")
    with pytest.raises(UserError, match="--device gpu"):
        select_device("gpu")
    with pytest.raises(UserError, match="CUDA devices are visible"):
        select_device("99")


def test_precision_decides_the_dtype_of_convolutions() -> None:
    cpu = torch.device("cpu")
    conv, images = torch.nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 4, 4)
    for precision, dtype in (
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        ("auto", choose_dtype(cpu, "auto")),
    ):
        with autocast(cpu, precision):
            assert conv(images).dtype == dtype


def test_half_precision_is_chosen_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer, on_cpu in ((lambda: True, "bf16"), (lambda: False, "fp32")):
        monkeypatch.setattr("utils.device.cpu_multiplies_bf16", answer)
        names = [choose_half(torch.device(kind)) for kind in ("cuda", "cpu", "mps")]
        assert names == ["fp16", on_cpu, "fp32"]


def test_without_a_gpu_there_is_nothing_to_measure() -> None:
    cpu = torch.device("cpu")
    assert memory_text(cpu) == "0G"
    assert fit_batch_size(torch.nn.Conv2d(3, 4, 1), 640, cpu) == 16


def test_the_batch_follows_the_line_of_measured_memory() -> None:
    assert _largest_batch({1: 150, 2: 200, 16: 900}, 1100.0) == 20
    assert _largest_batch({1: 150}, 1100.0) == 1
    assert _largest_batch({1: 150, 2: 200}, 120.0) == 1
    assert _largest_batch({1: 1, 16: 16}, 1e9) == 1024


def test_only_an_accelerator_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    devices = [torch.device(name) for name in ("cpu", "cuda:1", "mps")]
    for device in devices:
        finish_queue(device)
    assert waited == devices[1:]
