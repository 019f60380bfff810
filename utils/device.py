"""The device that computes, its arithmetic and its memory."""

from __future__ import annotations

import contextlib
import copy
import sys

import torch

from utils.errors import UserError

GPU_MEMORY_SHARE = 0.8  # of the free GPU memory, for --batch-size -1


def select_device(text: str = "") -> torch.device:
    """Turn YOLOv5's --device into a torch device: '' chooses, '0' or 'cuda:0', 'cpu', 'mps'.

    Raises UserError for a device that does not exist, and for a list of several, since torchrun
    starts one process for each.
    """
    wanted = text.strip().lower().removeprefix("cuda:").replace(" ", "")
    if wanted in ("", "cuda"):
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    if wanted == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("--device mps: this machine has no Apple GPU; use --device cpu")
        return torch.device("mps")
    if "," in wanted:
        count = len(wanted.split(","))
        raise UserError(
            f"--device {text}: start several devices with `torchrun --nproc_per_node {count}"
            " train.py …`"
        )
    if not wanted.isdecimal():
        raise UserError(f"--device {text}: is none of cpu, mps, or a CUDA number such as 0")
    if int(wanted) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(
            f"--device {text}: {count} CUDA devices are visible; use --device cpu, or a number"
            " below that"
        )
    return torch.device(f"cuda:{wanted}")


def choose_dtype(device: torch.device, precision: str) -> torch.dtype:
    """The dtype of convolutions; auto takes bf16 or fp16 only where hardware multiplies in it."""
    if precision == "fp32":
        return torch.float32
    if precision in ("bf16", "fp16"):
        return {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_multiplies_bf16() else torch.float32


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
    if device.type == "cuda":
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
    return f"{torch.cuda.max_memory_reserved(device) / 1e9:.3g}G" if device.type == "cuda" else "0G"


def peak_memory_mb(device: torch.device) -> float | None:
    """Peak memory in MB: reserved on a GPU, elsewhere resident in this process.

    It is None where the system does not report it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes on macOS, KiB elsewhere


def describe_device(device: torch.device) -> str:
    """One line for the beginning of a log: torch's version, the device, its memory or threads."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return (
            f"torch {torch.__version__}, {device} ({properties.name},"
            f" {properties.total_memory / 2**30:.0f} GiB)"
        )
    return f"torch {torch.__version__}, {device.type} ({torch.get_num_threads()} threads)"


def fit_batch_size(
    model: torch.nn.Module, imgsz: int, device: torch.device, precision: str = "auto"
) -> int:
    """The batch size that fills GPU_MEMORY_SHARE of the free GPU memory; 16 without a GPU.

    As in YOLOv5's autobatch, the peak memory of a forward and backward pass is measured at batch
    sizes 1 to 16, as far as they fit, and extrapolated linearly.

    Args:
        model: The network; a copy of it is measured.
        imgsz: Side of the images, pixels.
        device: Where training runs.
        precision: --precision of the forward pass.
    """
    if device.type != "cuda":
        return 16
    probe, channels = copy.deepcopy(model).train(), getattr(model, "channels", 3)
    free, peaks = torch.cuda.mem_get_info(device)[0], {}
    for size in (1, 2, 4, 8, 16):
        torch.cuda.reset_peak_memory_stats(device)
        try:
            with autocast(device, precision):
                raw = probe(torch.zeros(size, channels, imgsz, imgsz, device=device))
            # The memory of a loss is small beside that of the maps, so any scalar of them will do.
            torch.stack([level.float().mean() for level in raw]).sum().backward()
        except torch.cuda.OutOfMemoryError:
            break
        peaks[size] = torch.cuda.max_memory_allocated(device)
        probe.zero_grad(set_to_none=True)
    return _largest_batch(peaks, free * GPU_MEMORY_SHARE)


def _largest_batch(peaks: dict[int, int], budget: float) -> int:
    """The largest batch size within the budget, by the line through two measured ones.

    Args:
        peaks: Batch size -> peak bytes; the smallest and the largest batch size define the line.
        budget: Bytes that may be used.
    """
    if len(peaks) < 2:
        return 1
    first, last = min(peaks), max(peaks)
    # At least a byte per image, in case a larger batch was measured as needing no more.
    slope = max((peaks[last] - peaks[first]) / (last - first), 1.0)
    return min(max(int(first + (budget - peaks[first]) / slope), 1), 1024)
