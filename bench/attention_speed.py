"""Time and memory of our attention modules, compared with tutorials' listings of them.

    python -m bench.attention_speed

Both sides have the same weights and the same input maps; their outputs are compared first. They are
timed in turn in one process, and the order within a pair changes from round to round, so that a
slower moment of the machine affects both. A ratio is the time of the listing divided by ours; the
median of all rounds is shown with its quartiles. Kept memory is what a forward pass keeps for the
backward pass, including the input.

PASS means that the training ratio reaches the module's target, inference is no slower, and no more
memory is kept (for SimAM, at most a third). Ratios may fall short by NOISE, since those of a module
timed against itself do. On a machine that runs other programs too, two threads wait for each other
at every operation; use --threads 1 there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench import listings, listings_grouped
from bench.attention_timing import (
    RANGE_LEGEND,
    SPEED_HEADERS,
    SPEED_LEGEND,
    PairTiming,
    markdown_ranges,
    quartiles,
)
from bench.beside.machine import processor_name
from models.attention import build_attention
from models.attention._registry import ATTENTION, options
from models.costs.glance import aligned
from models.costs.modules import bytes_kept_by, forward_seconds, train_seconds
from utils.device import describe_device, select_device
from utils.errors import UserError

MAP_SHAPES = ((8, 256, 40, 40), (16, 128, 80, 80))
# The batch of a heavy module is divided by this number.
HEAVY = {"ACmix": 4, "GAM": 4, "LSK": 2, "SK": 2}
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
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


def like_the_listing(name: str, channels: int) -> dict[str, object]:
    """Return the options with which our module computes the same as its listing."""
    wanted: dict[str, dict[str, object]] = {
        "DoubleAttention": {
            "c_m": channels // 4,
            "c_n": channels // 4,
            "reconstruct": True,
            "residual": False,
        },
        "NAM": {"detach": True},  # like `.data` in the listing; it costs no time
        "GAM": {"rate": 4, "channel_sigmoid": True, "group": False},
        "BAM": {"combine": "mul"},
        "ShuffleAttention": {"groups": 8},
        "EMA": {"factor": 32},
        "GlobalContext": {"ratio": 1 / 16},
        "LSKA": {"k_size": 7},
        "SK": {"groups": 32},
    }
    return wanted.get(name, {})


def make_pair(name: str, channels: int) -> tuple[nn.Module, nn.Module]:
    """Return the listing and our module with the same weights, all of them made non-zero.

    Raises UserError if the names of the weights differ.
    """
    torch.manual_seed(0)
    kind = f"Listed{name}"
    listing = (getattr(listings, kind, None) or getattr(listings_grouped, kind))(channels)
    with torch.no_grad():
        for parameter in listing.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    known = options(ATTENTION[name])
    chosen = {key: value for key, value in like_the_listing(name, channels).items() if key in known}
    ours = build_attention(name, channels, init="paper", **chosen)
    state, shapes = (
        listing.state_dict(),
        {key: value.shape for key, value in ours.state_dict().items()},
    )
    if set(state) != set(shapes):
        raise UserError(f"{name}: weights have other names: {sorted(set(state) ^ set(shapes))}")
    ours.load_state_dict({key: value.reshape(shapes[key]) for key, value in state.items()})
    return listing, ours


def output_difference(pair: tuple[nn.Module, nn.Module], x: Tensor) -> float:
    """Return the largest difference of the outputs, relative to the largest output.

    pair is a listing and our module; both are run in training mode and in evaluation mode.
    """
    found = []
    for training in (True, False):
        with torch.no_grad():
            expected, out = (module.train(training)(x) for module in pair)
        found.append(float((out - expected).abs().max() / expected.abs().max()))
    return max(found)


def time_pair(timing: PairTiming, device: torch.device, rounds: int, seconds: float) -> None:
    """Measure a module, and store the measurements in the timing.

    Args:
        timing: names the module, the shape and the layout; it receives the measurements.
        device: device on which both sides run.
        rounds: the largest number of rounds.
        seconds: no round begins later than this, except the first three.
    """
    pair = make_pair(timing.name, timing.shape[1])
    for module in pair:
        module.to(device)
    x = torch.randn(timing.shape, generator=torch.Generator().manual_seed(1)).to(device)
    x = x.contiguous(memory_format=LAYOUTS[timing.layout])
    weights = torch.ones_like(x)
    timing.difference = output_difference(pair, x[:4])
    timing.kept = (bytes_kept_by(pair[0], x), bytes_kept_by(pair[1], x))
    timers: list[tuple[list[tuple[float, float]], Callable[[nn.Module], float]]] = [
        (timing.forward, lambda module: forward_seconds(module, x)),
        (timing.training, lambda module: train_seconds(module, x, weights)),
    ]
    for _, timer in timers:  # a warm-up, not counted
        for module in pair:
            timer(module)
    start = time.perf_counter()
    while len(timing.training) < rounds and (
        len(timing.training) < 3 or time.perf_counter() - start < seconds
    ):
        for values, timer in timers:
            swap = len(values) % 2
            first, second = (1000 * timer(module) for module in (pair[::-1] if swap else pair))
            values.append((second, first) if swap else (first, second))


def parse_speed_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--modules", nargs="+", default=list(ORDER), help="class names; all of them by default"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=15,
        help="maximum number of rounds of a module at one shape in one layout, at least 3",
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="after which no fourth or later round begins"
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
    parser.add_argument("--markdown", action="store_true", help="also print README's table")
    flags = parser.parse_args()
    unknown = [name for name in flags.modules if name not in ORDER]
    if unknown:
        parser.error(f"--modules: {', '.join(unknown)}: known are {', '.join(ORDER)}")
    if flags.rounds < 3:
        parser.error("--rounds must be at least 3")
    return flags


def main() -> None:
    flags = parse_speed_flags()
    if flags.threads:
        torch.set_num_threads(flags.threads)
    device = select_device(flags.device)
    torch.backends.cudnn.benchmark = True
    warnings.simplefilter("ignore")
    start, done, skipped = time.perf_counter(), [], []
    for name in flags.modules:
        for shape, layout in (
            (shape, layout) for shape in MAP_SHAPES[: 2 - flags.small] for layout in flags.layouts
        ):
            timing = PairTiming(name, (shape[0] // HEAVY.get(name, 1), *shape[1:]), layout)
            try:
                time_pair(timing, device, flags.rounds, flags.seconds)
            except UserError as error:
                skipped.append(f"skipped: {error}")
                break
            low, middle, high = quartiles(timing.training)
            print(
                f"{name} {timing.shape} {layout}: {middle:.2f} ({low:.2f}-{high:.2f})", flush=True
            )
            done.append(timing)
    print()
    print(
        aligned(SPEED_HEADERS, [timing.cells() for timing in done]),
        "",
        SPEED_LEGEND,
        *skipped,
        sep="\n",
    )
    if flags.markdown and done:
        print("", markdown_ranges(done), "", RANGE_LEGEND, sep="\n")
    seconds = time.perf_counter() - start
    print(
        f"{processor_name()}; {describe_device(device)}; float32; at most {flags.rounds} rounds of"
        f" {', '.join(flags.layouts)}; {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
