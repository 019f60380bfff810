"""The attention library at a glance: what each module costs, and what it does to the features that
pass through it.

python -m models.attention [--channels 256] [--size 40] [--batch 8] [--device cpu]

All modules are measured in turn, round after round, so that a slower minute of the machine falls on
all of them; times are medians. Measured values are float32 with the modules' default options.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from models.costs.profile import Counter
from utils.cli import build, flag, read_flags
from utils.device import describe_device, select_device
from utils.errors import UserError, run_main
from utils.tables import fit

SECONDS, ROUNDS = 80.0, 15  # of timing: no round begins later, and there are no more
SHARE = 2.5 * SECONDS / ROUNDS  # seconds after which a module waits for the others
LARGEST_MAP = 2**30  # bytes of one map; some modules keep fifteen of them
HEADERS = (
    "module",
    "params",
    "GFLOPs",
    "MB moved",
    "ms forward",
    "ms train",
    "MB kept",
    "gate mean",
    "gate std",
    "min side",
)
LEGEND = """\
GFLOPs, MB moved, ms forward: one inference pass. MB moved: what operations read and write, in cache or memory.
ms train: forward and backward. MB kept: for the backward pass, the input included. gate: output / input at the start
of training, on unit-variance input; features keep their scale at mean 1, std 0. min side: of the smallest map."""


@dataclass(frozen=True)
class GlanceConfig:
    """All flags of `python -m models.attention`.

    Raises UserError for an impossible value, with the flag's name.
    """

    channels: int = flag(256, "channels of the map")
    size: int = flag(40, "height and width of the map, positions")
    batch: int = flag(8, "maps at once", aliases=("--batch-size",))
    device: str = flag("", "where to run: 0, cpu, mps; '' chooses")

    def __post_init__(self) -> None:
        for name, largest in (("channels", 8192), ("size", 2048), ("batch", 1024)):
            if not 1 <= getattr(self, name) <= largest:
                raise UserError(f"--{name}={getattr(self, name)}: must be 1 to {largest}")
        if self.map_bytes > LARGEST_MAP:
            raise UserError(
                f"--batch={self.batch}: one map of this shape takes {self.map_bytes / 2**30:.1f}"
                " GiB, 1 at most; take a smaller --batch, --size or --channels"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.channels, self.size, self.size)

    @property
    def map_bytes(self) -> int:
        return 4 * self.batch * self.channels * self.size**2


@dataclass
class Candidate:
    """A module under measurement. forward_ms and train_ms: one value a round; spent: seconds so
    far.
    """

    name: str
    module: nn.Module
    forward_ms: list[float] = field(default_factory=list)
    train_ms: list[float] = field(default_factory=list)
    spent: float = 0.0


def wait(device: torch.device) -> None:
    """Let the device finish what it was given, so that a clock means something."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def forward_seconds(module: nn.Module, x: Tensor) -> float:
    """Of one inference pass."""
    module.eval()
    with torch.inference_mode():
        wait(x.device)
        start = time.perf_counter()
        module(x)
        wait(x.device)
    return time.perf_counter() - start


def train_seconds(module: nn.Module, x: Tensor, weights: Tensor) -> float:
    """Of one forward and backward pass. weights: of the output's shape, the gradient that comes
    back.
    """
    module.train()
    module.zero_grad()
    leaf = x.detach().requires_grad_()
    wait(x.device)
    start = time.perf_counter()
    module(leaf).backward(weights)
    wait(x.device)
    return time.perf_counter() - start


def kept_bytes(module: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass in training keeps for the backward pass: each storage once,
    parameters not counted.
    """
    ours = {
        tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())
    }
    kept: dict[int, Any] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage  # held, so that its address is not given away again
        return saved

    module.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        out = module(x.detach().requires_grad_())
    del out
    return sum(storage.nbytes() for storage in kept.values())


def counted(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """GFLOPs and MB moved of one inference pass, counted operation by operation as they run."""
    module.eval()
    with torch.no_grad(), Counter() as counter:
        module(x)
    return counter.flops / 1e9, counter.moved / 1e6


def gate(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of output / input where the input is not small; NaN if the shapes
    differ.
    """
    with torch.no_grad():
        out = module.train()(x)
    if out.shape != x.shape:
        return float("nan"), float("nan")
    large = x.abs() > 0.5
    ratio = out[large] / x[large]
    return float(ratio.mean()), float(ratio.std())


def smallest_side(name: str, channels: int) -> int:
    """Side of the smallest square map on which output and gradient are finite in training; 0 if
    none up to 8 is.
    """
    module = build_attention(name, channels).train()
    for side in range(1, 9):
        x = torch.randn(1, channels, side, side, requires_grad=True)
        try:
            out = module(x)
            out.sum().backward()
        except (RuntimeError, ValueError):  # PyTorch's own words for a map that is too small
            continue
        if out.isfinite().all() and x.grad is not None and x.grad.isfinite().all():
            return side
    return 0


def make_candidates(
    config: GlanceConfig, device: torch.device
) -> tuple[list[Candidate], list[str]]:
    """One of each registered class that takes so many channels, and a line for each that does not."""
    made, refused = [], []
    for name in sorted({kind.__name__ for kind in ATTENTION.values()}):
        torch.manual_seed(0)
        try:
            made.append(Candidate(name, build_attention(name, config.channels).to(device)))
        except UserError as error:
            refused.append(f"{name}: not at {config.channels} channels: {error}")
    return made, refused


def progress(text: str) -> None:
    """Overwrite one line of a terminal; nothing where the output is not one."""
    if sys.stderr.isatty():
        print(f"\r{fit(text, 60)}", end="", file=sys.stderr, flush=True)


def measure(candidates: list[Candidate], x: Tensor) -> None:
    """Time all candidates in turn, the first round being a warm-up on a single image."""
    for each in candidates:
        progress(f"warming up: {each.name}")
        forward_seconds(each.module, x[:1])
        train_seconds(each.module, x[:1], _weights(each.module, x[:1]))
    start = time.perf_counter()
    for number in range(ROUNDS):
        for each in candidates:
            if each.train_ms and (time.perf_counter() - start > SECONDS or each.spent > SHARE):
                continue
            progress(f"timing, round {number + 1} of {ROUNDS}: {each.name}")
            forward, train = (
                forward_seconds(each.module, x),
                train_seconds(each.module, x, _weights(each.module, x)),
            )
            each.forward_ms.append(1000 * forward)
            each.train_ms.append(1000 * train)
            each.spent += forward + train
    progress("")


def _weights(module: nn.Module, x: Tensor) -> Tensor:
    return torch.ones(
        x.shape[0], getattr(module, "out_channels", x.shape[1]), *x.shape[2:], device=x.device
    )


def cells(each: Candidate, x: Tensor) -> list[str]:
    """A module's row under HEADERS."""
    parameters = sum(parameter.numel() for parameter in each.module.parameters())
    gigaflops, moved = counted(each.module, x)
    mean, spread = gate(each.module, x)
    forward, train = statistics.median(each.forward_ms), statistics.median(each.train_ms)
    return [
        each.name,
        f"{parameters:,}",
        f"{gigaflops:.3f}",
        f"{moved:,.0f}",
        f"{forward:.1f}",
        f"{train:.1f}",
        f"{kept_bytes(each.module, x) / 1e6:,.1f}",
        f"{round(mean, 2) + 0.0:.2f}",
        f"{spread:.2f}",
        str(smallest_side(each.name, x.shape[1]) or "-"),
    ]


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a rule under its heading: the first column set left, the others right."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    lines = [headers, ["─" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            fit(text, width, ">" if column else "<") for column, (text, width) in enumerate(pairs)
        ).rstrip()
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def main(argv: list[str] | None = None) -> None:
    """Print the table, quickest training first, then what was measured how.

    Raises UserError for impossible flags.
    """
    config = build(GlanceConfig, read_flags(GlanceConfig, argv, (__doc__ or "").split("\n\n")[0]))
    device = select_device(config.device)
    candidates, refused = make_candidates(config, device)
    x = torch.randn(config.shape, generator=torch.Generator().manual_seed(0)).to(device)
    measure(candidates, x)
    rows = []
    for each in sorted(candidates, key=lambda each: statistics.median(each.train_ms)):
        progress(f"counting: {each.name}")
        rows.append(cells(each, x))
    progress("")
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    print(aligned(HEADERS, rows), "", LEGEND, *refused, sep="\n")
    rounds = sorted({len(each.train_ms) for each in candidates})
    counts = " to ".join(map(str, dict.fromkeys(rounds[:1] + rounds[-1:])))
    print(
        f"{describe_device(device)}; float32 maps {'x'.join(map(str, config.shape))}; medians of {counts}"
        " rounds"
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
