"""The attention library at a glance: what each module costs, and what it does to its features.

python -m models.attention [--channels 256] [--size 40] [--batch 8] [--device cpu]

All modules are measured in turn, round after round, so that a slower minute of the machine affects
all of them; times are medians. Maps are float32, and options are the modules' defaults.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from models.costs.modules import (
    bytes_kept_by,
    counted,
    forward_seconds,
    gate,
    smallest_side,
    train_seconds,
)
from utils.cli import build, flag, read_flags
from utils.device import describe_device, take_device
from utils.errors import UserError, run_main
from utils.tables import fit
from utils.terminal import is_terminal

# No round of timing begins after TIMING_SECONDS, and there are at most ROUNDS rounds.
TIMING_SECONDS, ROUNDS = 80.0, 15
# Seconds after which a slow module is not timed again, so that the others get their rounds.
SHARE = 2.5 * TIMING_SECONDS / ROUNDS
# Bytes of one map; some modules keep fifteen of them.
LARGEST_MAP = 2**30
GLANCE_HEADERS = (
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
GLANCE_LEGEND = """\
GFLOPs, MB moved, ms forward: one inference pass. MB moved: what operations read and write, in cache
or memory. ms train: forward and backward. MB kept: for the backward pass, the input included.
gate: output / input at the start of training, on unit-variance input; features keep their scale at
mean 1, std 0. min side: of the smallest map."""


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
    """A module under measurement.

    forward_ms and train_ms have one value a round; spent is the seconds that its timing took.
    """

    name: str
    module: nn.Module
    forward_ms: list[float] = field(default_factory=list)
    train_ms: list[float] = field(default_factory=list)
    spent: float = 0.0


def make_candidates(
    config: GlanceConfig, device: torch.device
) -> tuple[list[Candidate], list[str]]:
    """Return one of each class that accepts the channels, and a line for each that does not."""
    made, refused = [], []
    for name in sorted({kind.__name__ for kind in ATTENTION.values()}):
        torch.manual_seed(0)
        try:
            made.append(Candidate(name, build_attention(name, config.channels).to(device)))
        except UserError as error:
            refused.append(f"{name}: not at {config.channels} channels: {error}")
    return made, refused


def show_progress(text: str) -> None:
    """Overwrite one line of a terminal; do nothing if the output is not a terminal."""
    if is_terminal(sys.stderr):
        print(f"\r{fit(text, 60)}", end="", file=sys.stderr, flush=True)


def time_candidates(candidates: list[Candidate], x: Tensor) -> None:
    """Time all candidates in turn, after a warm-up on a single image."""
    for each in candidates:
        show_progress(f"warming up: {each.name}")
        forward_seconds(each.module, x[:1])
        train_seconds(each.module, x[:1], _weights(each.module, x[:1]))
    start = time.perf_counter()
    for number in range(ROUNDS):
        for each in candidates:
            if each.train_ms and (
                time.perf_counter() - start > TIMING_SECONDS or each.spent > SHARE
            ):
                continue
            show_progress(f"timing, round {number + 1} of {ROUNDS}: {each.name}")
            forward, train = (
                forward_seconds(each.module, x),
                train_seconds(each.module, x, _weights(each.module, x)),
            )
            each.forward_ms.append(1000 * forward)
            each.train_ms.append(1000 * train)
            each.spent += forward + train
    show_progress("")


def _weights(module: nn.Module, x: Tensor) -> Tensor:
    return torch.ones(
        x.shape[0], getattr(module, "out_channels", x.shape[1]), *x.shape[2:], device=x.device
    )


def cells(each: Candidate, x: Tensor) -> list[str]:
    """Return the module's row under GLANCE_HEADERS."""
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
        f"{bytes_kept_by(each.module, x) / 1e6:,.1f}",
        f"{round(mean, 2) + 0.0:.2f}",
        f"{spread:.2f}",
        str(smallest_side(each.name, x.shape[1]) or "-"),
    ]


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a rule under its heading; all columns but the first are right-aligned."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    lines = [headers, ["─" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            fit(text, width, ">" if column else "<") for column, (text, width) in enumerate(pairs)
        ).rstrip()
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def main(argv: list[str] | None = None) -> None:
    """Print the table, with the quickest training first, and how it was measured.

    Raises UserError for impossible flags.
    """
    config = build(GlanceConfig, read_flags(GlanceConfig, argv, (__doc__ or "").split("\n\n")[0]))
    device = take_device(config.device)
    candidates, refused = make_candidates(config, device)
    x = torch.randn(config.shape, generator=torch.Generator().manual_seed(0)).to(device)
    time_candidates(candidates, x)
    rows = []
    for each in sorted(candidates, key=lambda each: statistics.median(each.train_ms)):
        show_progress(f"counting: {each.name}")
        rows.append(cells(each, x))
    show_progress("")
    if is_terminal(sys.stderr):
        print("\r", end="", file=sys.stderr)
    print(aligned(GLANCE_HEADERS, rows), "", GLANCE_LEGEND, *refused, sep="\n")
    rounds = sorted({len(each.train_ms) for each in candidates})
    counts = " to ".join(map(str, dict.fromkeys(rounds[:1] + rounds[-1:])))
    shape = "x".join(map(str, config.shape))
    print(f"{describe_device(device)}; float32 maps {shape}; medians of {counts} rounds")


if __name__ == "__main__":
    sys.exit(run_main(main))
