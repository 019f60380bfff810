"""Time and memory of our attention modules beside tutorials' listings of them: python -m
benchmarks.attention_speed

Both sides have the same weights and get the same maps; their outputs are compared first. They are
timed in one process in turn, the first of a pair changing from round to round, so that a slower
moment of the machine falls on both; a ratio is that of a pair, listing / ours, and the median of
all rounds is shown with its quartiles. Kept memory is what a forward pass leaves for the backward
pass, the input included.

PASS: the training ratio reaches the module's target, inference is no slower, and no more memory is
kept (SimAM: a third). Ratios may miss by NOISE, which is what the same code timed against itself
does. On a machine that computes other things too, two threads wait for each other at every
operation: take --threads 1 there.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import listings, listings_grouped
from models.attention import build_attention
from models.attention._registry import ATTENTION, options
from models.costs.glance import aligned, forward_seconds, kept_bytes, train_seconds
from utils.device import describe_device, select_device
from utils.errors import UserError

NOISE = 0.03
SHAPES = ((8, 256, 40, 40), (16, 128, 80, 80))
HEAVY = {"ACmix": 4, "GAM": 4, "LSK": 2, "SK": 2}  # the batch is divided by this
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
TARGETS = {
    "SimAM": 2.0,
    "NAM": 1.3,
    "CBAM": 1.3,
    "CoordAttention": 1.3,
    "SE": 1.3,
    "BAM": 1.3,
    "ECA": 1.3,
}
KEPT_TARGETS = {"SimAM": 1 / 3}
CELL_SECONDS = 5.0  # of timing a module at one shape in one layout; at least three rounds are taken
ORDER = (
    "SimAM",
    "SE",
    "ECA",
    "NAM",
    "CBAM",
    "CoordAttention",
    "BAM",
    "GlobalContext",
    "ShuffleAttention",
    "EMA",
    "TripletAttention",
    "DoubleAttention",
    "LSKA",
    "LSK",
    "SK",
    "GAM",
    "ACmix",
)
HEADERS = (
    "module",
    "map",
    "layout",
    "forward ms",
    "ratio",
    "training ms",
    "ratio",
    "kept MB",
    "difference",
    "target",
    "verdict",
)
LEGEND = """\
A / B: listing / ours, ms the least of all rounds. forward: inference. training: forward and backward. ratio: median
of the rounds' ratios (quartiles), which is what target and verdict mean; where it is far from A / B, others computed.
kept: for the backward pass. difference: of outputs, relative to the largest. target: for the training ratio."""


def like_the_listing(name: str, channels: int) -> dict[str, Any]:
    """Our module's options that make it compute what its listing computes."""
    wanted: dict[str, dict[str, Any]] = {
        "DoubleAttention": {
            "c_m": channels // 4,
            "c_n": channels // 4,
            "reconstruct": True,
            "residual": False,
        },
        "NAM": {"detach": True},  # as `.data` in the listing does; costs nothing
        "GAM": {"rate": 4, "channel_sigmoid": True, "group": False},
        "BAM": {"combine": "mul"},
        "ShuffleAttention": {"groups": 8},
        "EMA": {"factor": 32},
        "GlobalContext": {"ratio": 1 / 16},
        "LSKA": {"k_size": 7},
        "SK": {"groups": 32},
    }
    return wanted.get(name, {})


@dataclass
class Cell:
    """A module at one shape in one layout. Times in ms, a pair (listing, ours) for each round; kept
    in bytes.
    """

    name: str
    shape: tuple[int, ...]
    layout: str
    difference: float = float("nan")
    kept: tuple[int, int] = (0, 0)
    forward: list[tuple[float, float]] = field(default_factory=list)
    training: list[tuple[float, float]] = field(default_factory=list)

    @property
    def shortfalls(self) -> list[str]:
        """What is not fast, small or exact enough; nothing if the cell passes."""
        held = {
            "training": quartiles(self.training)[1] >= TARGETS.get(self.name, 1.0) - NOISE,
            "forward": quartiles(self.forward)[1] >= 1 - NOISE,
            "kept": self.kept[1] <= 1.01 * KEPT_TARGETS.get(self.name, 1.0) * self.kept[0],
            "difference": self.difference < 1e-4,
        }
        return [word for word, holds in held.items() if not holds]

    def cells(self) -> list[str]:
        """The row under HEADERS."""
        times = []
        for pairs in (self.forward, self.training):
            low, middle, high = quartiles(pairs)
            listing, ours = (min(side) for side in zip(*pairs, strict=True))
            times += [f"{listing:.1f} / {ours:.1f}", f"{middle:.2f} ({low:.2f}-{high:.2f})"]
        kept = " / ".join(f"{part / 1e6:.0f}" for part in self.kept)
        verdict = f"FALL SHORT: {', '.join(self.shortfalls)}" if self.shortfalls else "PASS"
        place = [self.name, "x".join(map(str, self.shape)), self.layout]
        return [
            *place,
            *times,
            kept,
            f"{self.difference:.0e}",
            f"{TARGETS.get(self.name, 1.0):.1f}",
            verdict,
        ]


def quartiles(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Of the ratios listing / ours; with few rounds the extremes instead."""
    ratios = sorted(listing / ours for listing, ours in pairs)
    if len(ratios) < 4:
        return ratios[0], statistics.median(ratios), ratios[-1]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high


def make_pair(name: str, channels: int) -> tuple[nn.Module, nn.Module]:
    """The listing, its weights shaken so that none are zero, and ours with the same ones.

    Raises UserError if ours has not the listing's options or names.
    """
    torch.manual_seed(0)
    listing = getattr(listings, name, None) or getattr(listings_grouped, name)
    listing = listing(channels)
    with torch.no_grad():
        for parameter in listing.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    known = options(ATTENTION[name])
    chosen = {key: value for key, value in like_the_listing(name, channels).items() if key in known}
    ours = build_attention(name, channels, **chosen)
    state, shapes = (
        listing.state_dict(),
        {key: value.shape for key, value in ours.state_dict().items()},
    )
    if set(state) != set(shapes):
        raise UserError(f"{name}: weights have other names: {sorted(set(state) ^ set(shapes))}")
    ours.load_state_dict({key: value.reshape(shapes[key]) for key, value in state.items()})
    return listing, ours


def difference(pair: tuple[nn.Module, nn.Module], x: Tensor) -> float:
    """Largest between the outputs, in training and inference, relative to the largest output."""
    found = []
    for training in (True, False):
        with torch.no_grad():
            expected, out = (module.train(training)(x) for module in pair)
        found.append(float((out - expected).abs().max() / expected.abs().max()))
    return max(found)


def measure(cell: Cell, device: torch.device, rounds: int) -> None:
    """Fill the cell; heavy modules get fewer rounds."""
    pair = make_pair(cell.name, cell.shape[1])
    for module in pair:
        module.to(device)
    x = torch.randn(cell.shape, generator=torch.Generator().manual_seed(1)).to(device)
    x = x.contiguous(memory_format=LAYOUTS[cell.layout])
    weights = torch.ones_like(x)
    cell.difference = difference(pair, x[:4])
    cell.kept = (kept_bytes(pair[0], x), kept_bytes(pair[1], x))
    timers: list[tuple[list[tuple[float, float]], Callable[[nn.Module], float]]] = [
        (cell.forward, lambda module: forward_seconds(module, x)),
        (cell.training, lambda module: train_seconds(module, x, weights)),
    ]
    for _, timer in timers:  # a warm-up, not counted
        for module in pair:
            timer(module)
    start = time.perf_counter()
    while len(cell.training) < rounds and (
        len(cell.training) < 3 or time.perf_counter() - start < CELL_SECONDS
    ):
        for values, timer in timers:
            swap = len(values) % 2
            first, second = (1000 * timer(module) for module in (pair[::-1] if swap else pair))
            values.append((second, first) if swap else (first, second))


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--modules", nargs="+", default=list(ORDER), help="class names; all of them if left out"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=15,
        help="at most so many; a cell takes about 5 s, or 3 rounds",
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument(
        "--threads", type=int, default=0, help="of the processor; 0 leaves PyTorch's own number"
    )
    parser.add_argument(
        "--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS), help="memory order"
    )
    parser.add_argument(
        "--small", action="store_true", help="only the smaller of the two map sizes"
    )
    flags = parser.parse_args()
    unknown = [name for name in flags.modules if name not in ORDER]
    if unknown:
        parser.error(f"--modules: {', '.join(unknown)}: known are {', '.join(ORDER)}")
    if flags.rounds < 3:
        parser.error("--rounds must be at least 3")
    return flags


def main() -> None:
    flags = parse_flags()
    if flags.threads:
        torch.set_num_threads(flags.threads)
    device = select_device(flags.device)
    torch.backends.cudnn.benchmark = True
    warnings.simplefilter("ignore")
    start, done, skipped = time.perf_counter(), [], []
    for name in flags.modules:
        for shape, layout in (
            (shape, layout) for shape in SHAPES[: 2 - flags.small] for layout in flags.layouts
        ):
            cell = Cell(name, (shape[0] // HEAVY.get(name, 1), *shape[1:]), layout)
            try:
                measure(cell, device, flags.rounds)
            except UserError as error:
                skipped.append(f"skipped: {error}")
                break
            low, middle, high = quartiles(cell.training)
            print(f"{name} {cell.shape} {layout}: {middle:.2f} ({low:.2f}-{high:.2f})", flush=True)
            done.append(cell)
    print()
    print(aligned(HEADERS, [cell.cells() for cell in done]), "", LEGEND, *skipped, sep="\n")
    print(
        f"{describe_device(device)}; at most {flags.rounds} rounds; {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
