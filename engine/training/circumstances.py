"""What the bits of a run depend on besides its settings, and whether a resumed run has the same.

Sums in floating point depend on their order, and that depends on the number of threads, the kind of
processor or GPU, the torch version, and the number of processes. Training amplifies the difference.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from utils.checkpoint import Checkpoint
from utils.device import choose_dtype, device_name
from utils.machine import processes_here
from utils.text import printable

# What resumed_under() says of each entry that differs, in the order of its sentence.
WORDS = {
    "threads": "{} threads",
    "processes": "{} processes",
    "torch": "torch {}",
    "processor": "the processor {}",
    "device": "the device {}",
    "arithmetic": "{} arithmetic",
}


def circumstances(device: torch.device, processes: int, precision: str) -> dict[str, str]:
    """The circumstances of this process, as a checkpoint keeps them.

    Args:
        device: The device of the model.
        processes: Number of processes that train together.
        precision: --precision of the run.

    Returns:
        A text for each key of WORDS.
    """
    return {
        "threads": str(torch.get_num_threads()),
        "processes": str(processes),
        "torch": str(torch.__version__),  # a class of its own, which no checkpoint may hold
        "processor": _processor(),
        "device": device_name(device),
        "arithmetic": str(choose_dtype(device, precision)).removeprefix("torch."),
    }


def _processor() -> str:
    """The model of the processor, and the instructions that torch chose for it."""
    name = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else name} ({torch.backends.cpu.get_cpu_capability()})"


def resumed_under(now: Mapping[str, str], saved: Mapping[str, object]) -> str:
    """A sentence on what differs from the interrupted run, or "".

    Args:
        now: The circumstances of this process.
        saved: Those of the interrupted run; {} in a checkpoint that has none.
    """
    # On a GPU the number of threads changes nothing that is trained.
    keys = [key for key in WORDS if key != "threads" or now["device"] == "cpu"]
    changes = [
        f"{WORDS[key].format(now[key])}, before {printable(saved[key], 60)}"
        for key in keys
        if key in saved and str(saved[key]) != now[key]
    ]
    if not changes:
        return ""
    return (
        f"resumed with {'; '.join(changes)}: the results are not bit for bit those of an"
        " uninterrupted run"
    )


def saved_circumstances(resumed: Checkpoint | None) -> Mapping[str, object]:
    """The circumstances of an interrupted run; {} in checkpoints of earlier versions."""
    training = resumed.training if resumed is not None else None
    saved = training.get("circumstances") if training is not None else None
    return saved if isinstance(saved, dict) else {}


def keep_threads(resumed: Checkpoint | None) -> str:
    """Let torch use as many threads as the interrupted run did, if there are as many cores.

    Returns a sentence if the number was changed, else "".
    """
    saved = saved_circumstances(resumed)
    text = str(saved.get("threads", ""))
    wanted, present = int(text) if text.isdecimal() and len(text) < 5 else 0, _cores()
    before = torch.get_num_threads()
    if saved.get("device") != "cpu" or not 0 < wanted <= present or wanted == before:
        return ""
    torch.set_num_threads(wanted)
    return (
        f"threads: {wanted}, as before the interruption, and not {before}, so that the results are"
        " those of an uninterrupted run"
    )


def _cores() -> int:
    """The cores that this process may run on; torchrun's processes share them.

    A container's quota is left out, since torch does so too when it chooses its threads.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return cores // processes_here()
