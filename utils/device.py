"""The device that computes, its arithmetic, its layout and its memory."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TypeVar

import torch
from torch import nn

from utils.errors import UserError
from utils.text import counted

_Model = TypeVar("_Model", bound=nn.Module)
GPUS = ("cuda", "xpu")  # kinds that have numbers, report their memory, and read pinned memory
ACCEPTED = "a CUDA number such as 0, or cuda, cpu, mps, xpu, xpu:0"
# cuBLAS chooses between results that differ in the last bits unless its workspace is fixed.
CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def find_devices(text: str = "") -> list[torch.device]:
    """The devices that YOLOv5's --device names, in its order.

    '' are all CUDA devices, or the processor where there are none; cuda and xpu are all of that
    kind; 0,1 or cuda:0,1 are those numbers. Raises UserError for a device that does not exist.
    """
    wanted = text.strip().lower()
    if wanted in ("cpu", "cpu:0") or (not wanted and not torch.cuda.is_available()):
        return [torch.device("cpu")]
    if wanted in ("mps", "mps:0"):
        if not torch.backends.mps.is_available():
            raise UserError(f"--device {text}: this machine has no Apple GPU; use --device cpu")
        return [torch.device("mps")]
    kind = "xpu" if wanted.startswith("xpu") else "cuda"
    module = torch.get_device_module(kind)
    count = module.device_count() if module.is_available() else 0
    numbers = list(range(count)) if wanted in ("", kind) else _numbers(text, kind)
    if max(numbers, default=0) >= count:
        present = f", 0 to {count - 1}; name those, or" if count else ";"
        raise UserError(
            f"--device {text}: {count} {kind.upper()} devices are visible{present} use --device cpu"
        )
    if kind == "cuda":
        os.environ.setdefault(*CUBLAS_WORKSPACE)  # cuBLAS reads it when CUDA is first used
    return [torch.device(kind, number) for number in numbers]


def _numbers(text: str, kind: str) -> list[int]:
    """The numbers of a list such as 0,1 or cuda:0,1. Raises UserError if it is none."""
    words = [word.strip().removeprefix(f"{kind}:").strip() for word in text.lower().split(",")]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise UserError(f"--device {text}: is none of {ACCEPTED}, or several numbers as 0,1")
    numbers = [int(word) for word in words]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--device {text}: names a device twice; name each once")
    return numbers


def select_device(text: str = "") -> torch.device:
    """The one device of this process, by YOLOv5's --device: '' chooses, '0' or 'cuda:0', 'cpu' …

    Raises UserError for a device that does not exist, and for a list of several, since torchrun
    starts one process for each.
    """
    devices = find_devices(text)
    if "," in text and len(devices) > 1:
        raise UserError(
            f"--device {text}: start several devices with `torchrun --nproc_per_node"
            f" {len(devices)} train.py …`"
        )
    return devices[0]


def use_device(device: torch.device, tf32: bool = False) -> None:
    """Make a device the current one of the process, and choose its arithmetic of float32.

    On CUDA, convolutions and matrix products of float32 then have all 24 bits of the mantissa, or
    the 11 of TF32, which Ampere and later multiply several times as fast. PyTorch by itself takes
    TF32 for convolutions only.
    """
    if device.type in GPUS:
        # Pinned memory, for one, belongs to the current device.
        torch.accelerator.set_device_index(device)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32


def take_device(text: str = "", tf32: bool = False) -> torch.device:
    """Select the device of --device and use it; see select_device() and use_device()."""
    device = select_device(text)
    use_device(device, tf32)
    return device


def layout_of(device: torch.device) -> torch.memory_format:
    """The layout of images and weights: channels last, in which convolutions are faster, or not.

    On mps they are faster in the usual layout.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def arrange(model: _Model, device: torch.device) -> _Model:
    """Lay out a model's weights for a device, as layout_of() says; returns the same model.

    Module.to(memory_format=) refuses weights of five dimensions, such as AgentAttention's. They are
    no kernels of these convolutions, and stay as they are.
    """
    layout = layout_of(device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=layout)
    return model


def choose_dtype(device: torch.device, precision: str) -> torch.dtype:
    """The dtype of convolutions; auto takes bf16 or fp16 only where hardware multiplies in it."""
    if precision == "fp32":
        return torch.float32
    if precision in ("bf16", "fp16"):
        return {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    has_bf16 = device.type == "xpu" or (device.type == "cpu" and cpu_multiplies_bf16())
    return torch.bfloat16 if has_bf16 else torch.float32


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has bf16 instructions (AVX512-BF16, AMX).

    Without them bf16 is slower than float32.
    """
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def choose_half(device: torch.device) -> str:
    """The precision of --half: fp16 on a GPU as in YOLOv5, bf16 on a CPU that multiplies in it.

    Elsewhere it is fp32, since half precision would be slower.
    """
    if device.type in GPUS:
        return "fp16"
    return "bf16" if device.type == "cpu" and cpu_multiplies_bf16() else "fp32"


def autocast(
    device: torch.device, precision: str = "auto"
) -> contextlib.AbstractContextManager[object]:
    """A context that runs forward passes in the dtype that choose_dtype returns."""
    dtype = choose_dtype(device, precision)
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def finish_queue(device: torch.device) -> None:
    """Wait until the device has finished: an accelerator only queues its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def memory_text(device: torch.device) -> str:
    """Peak memory reserved on a GPU, as '3.21G'; '0G' elsewhere, as YOLOv5 prints it."""
    if device.type not in GPUS:
        return "0G"
    return f"{torch.get_device_module(device).max_memory_reserved(device) / 1e9:.3g}G"


def peak_memory_mb(device: torch.device) -> float | None:
    """Peak memory in MB: reserved on a GPU, elsewhere resident in this process.

    It is None where the system does not report it.
    """
    if device.type in GPUS:
        return float(torch.get_device_module(device).max_memory_reserved(device)) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes on macOS, KiB elsewhere


def device_name(device: torch.device) -> str:
    """The model of a GPU, such as NVIDIA H200; of other devices their kind."""
    if device.type not in GPUS:
        return device.type
    return str(torch.get_device_module(device).get_device_name(device))


def describe_device(device: torch.device) -> str:
    """One line for the beginning of a log: torch's version, the device, its memory or threads.

    On CUDA devices that have it, TF32 is said to be on or off (see use_device()).
    """
    if device.type not in GPUS:
        threads = counted(torch.get_num_threads(), "thread")
        return f"torch {torch.__version__}, {device.type} ({threads})"
    memory = torch.get_device_module(device).get_device_properties(device).total_memory / 2**30
    facts = [device_name(device), f"{memory:.0f} GiB"]
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8:
        facts.append(f"TF32 {'on' if torch.backends.cudnn.allow_tf32 else 'off'}")
    return f"torch {torch.__version__}, {device} ({', '.join(facts)})"
