"""Devices are chosen as YOLOv5's flag says, impossible ones named, and float32 is float32."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.simulated_cuda import simulated_cuda
from utils.device import (
    arrange,
    autocast,
    choose_dtype,
    choose_half,
    describe_device,
    device_name,
    find_devices,
    finish_queue,
    layout_of,
    memory_text,
    peak_memory_mb,
    select_device,
    take_device,
    use_device,
)
from utils.errors import UserError


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


def test_cpu_and_the_impossible() -> None:
    assert select_device("cpu").type == select_device(" CPU ").type == select_device("").type
    for wrong, message in {
        "gpu": "is none of a CUDA number",
        "0,,1": "is none of a CUDA number",
        "-1": "is none of a CUDA number",
        "cpu,0": "is none of a CUDA number",
        "99": "0 CUDA devices are visible; use --device cpu",
        "cuda": "0 CUDA devices are visible",
        "xpu:1": "0 XPU devices are visible",
        "mps": "no Apple GPU",
        "1,1": "names a device twice",
    }.items():
        with pytest.raises(UserError, match=f"--device {wrong}: .*{message}"):
            select_device(wrong)


@pytest.mark.usefixtures("four_gpus")
def test_the_spellings_of_numbers() -> None:
    for text, numbers in {
        "": [0, 1, 2, 3],
        "cuda": [0, 1, 2, 3],
        "3": [3],
        "cuda:2": [2],
        "2,0": [2, 0],
        " cuda:2, 3": [2, 3],
        "CUDA:0,cuda:1": [0, 1],
    }.items():
        assert [(one.type, one.index) for one in find_devices(text)] == [
            ("cuda", number) for number in numbers
        ]
    assert select_device("") == torch.device("cuda:0")
    with pytest.raises(UserError, match=r"--device 0,1: .*torchrun --nproc_per_node 2"):
        select_device("0,1")
    with pytest.raises(UserError, match="--device 1,4: 4 CUDA devices are visible, 0 to 3;"):
        find_devices("1,4")


@pytest.mark.usefixtures("four_gpus")
def test_cublas_gets_a_fixed_workspace_unless_the_user_chose_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_devices("cpu")
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    find_devices("1")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    find_devices("1")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_xpu_and_mps_where_there_are_such(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SimpleNamespace(total_memory=16 << 30)
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_properties": lambda _: facts,
        "get_device_name": lambda _: "Arc",
        "max_memory_reserved": lambda _: 3_210_000_000,
    }.items():
        monkeypatch.setattr(torch.xpu, name, value)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device("mps") == select_device("mps:0") == torch.device("mps")
    assert select_device("xpu") == torch.device("xpu:0")
    xpu = select_device("xpu:1")
    assert choose_dtype(xpu, "auto") == torch.bfloat16
    assert memory_text(xpu) == "3.21G"
    assert peak_memory_mb(xpu) == 3210.0
    assert describe_device(xpu).endswith("xpu:1 (Arc, 16 GiB)")


def test_only_mps_keeps_the_usual_layout() -> None:
    layouts = {layout_of(torch.device(name)) for name in ("cpu", "cuda:1", "xpu")}
    assert layouts == {torch.channels_last}
    assert layout_of(torch.device("mps")) == torch.contiguous_format


def test_weights_of_other_dimensions_than_four_keep_their_layout() -> None:
    """Module.to(memory_format=) refuses five dimensions; AgentAttention has such biases."""
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv3d(2, 2, 3), nn.PReLU(4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert arrange(model, torch.device("cpu")) is model
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not model[0].weight.is_contiguous()
    assert model[1].weight.is_contiguous()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_float32_is_exact_on_cuda_unless_tf32_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[torch.device] = []
    with simulated_cuda():
        monkeypatch.setattr(torch.accelerator, "set_device_index", used.append)
        try:
            for wanted, said in ((True, "TF32 on)"), (False, "TF32 off)")):
                device = take_device("0", wanted)
                backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
                assert [one.allow_tf32 for one in backends] == [wanted] * 2
                assert describe_device(device).endswith(f"cuda:0 (simulated, 16 GiB, {said}")
        finally:
            torch.backends.cudnn.allow_tf32 = True  # as torch starts
    assert used == [torch.device("cuda:0")] * 2
    with simulated_cuda((7, 0)):
        assert "TF32" not in describe_device(torch.device("cuda:0"))
    use_device(torch.device("cpu"), True)
    assert not torch.backends.cuda.matmul.allow_tf32


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
    assert device_name(cpu) == "cpu"


def test_only_an_accelerator_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    accelerators = [torch.device(name) for name in ("cpu", "cuda:1", "mps")]
    for device in accelerators:
        finish_queue(device)
    assert waited == accelerators[1:]
