"""Measures all attention modules for the site's table: `python -m bench.attention_table`.

Writes docs/attention.json: the figures of `python -m models.attention` (models/costs/glance.py),
and what each module does to its input, which is found by running it rather than stated.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.beside.machine import processor_name
from models.attention import build_attention
from models.costs.glance import Candidate, GlanceConfig, make_candidates, time_candidates
from models.costs.modules import bytes_kept_by, counted, gate, smallest_side
from models.graph.shape_mode import ShapeMode
from utils.cli import build, read_flags
from utils.device import describe_device, take_device
from utils.errors import run_main
from utils.files import ROOT, atomic_write

TABLE = ROOT / "docs/attention.json"
TOLERANCE = 1e-4
FLOPS_PER_BYTE = 10  # that a processor computes in the time of moving a byte, roughly


def effect_of(name: str, channels: int = 256) -> str:
    """What a module does to its input, from a run with random weights on a random map.

    Returns:
        "channel", "position", "position of a group", "channel × position", "channel × row × column"
        or "value": a positive factor for each of these. "shuffled value": the same behind an
        exchange of channels. "adds a summary": the same vector everywhere. "adds": something else,
        or "replaces".
    """
    torch.manual_seed(0)
    module = build_attention(name, channels).double().eval()  # where no gate underflows
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
        x = torch.randn(2, channels, 14, 14, dtype=torch.float64)
        x = x + 0.5 * x.sign()  # no value near zero, where a ratio says nothing
        out = module(x)
        if out.shape != x.shape:
            return "replaces"
        if (found := factor_kind(out / x)) and bool((out / x > 0).all()):
            return found
        if is_exchange(out, x):
            return "shuffled value"
        if constant(out - x, (2, 3)):
            return "adds a summary"
        return "adds" if keeps_without_weights(module, x) else "replaces"


def factor_kind(ratio: Tensor) -> str:
    """What a factor, [B, C, H, W], depends on."""
    corner, rows, columns = ratio[:, :, :1, :1], ratio[:, :, :, :1], ratio[:, :, :1]
    first = ratio[:, :1]
    if constant(ratio, (2, 3)):
        return "channel"
    if constant(ratio, (1,)):
        return "position"
    each = ratio[0].flatten(1)
    alike = (each[:, None] - each).abs().amax(2) <= TOLERANCE * each.abs().max()
    if alike.sum(1).min() > 1:  # every channel has the factors of another one
        return "position of a group"
    if close(ratio * first[:, :, :1, :1], corner * first):
        return "channel × position"
    if close(ratio * corner, rows * columns):
        return "channel × row × column"
    return "value"


def constant(values: Tensor, dims: Sequence[int]) -> bool:
    """Whether values do not vary over the dimensions."""
    spread = values.amax(tuple(dims)) - values.amin(tuple(dims))
    return bool(spread.max() <= TOLERANCE * values.abs().max())


def close(one: Tensor, other: Tensor) -> bool:
    return bool(((one - other).abs() <= TOLERANCE * one.abs().max()).all())


def is_exchange(out: Tensor, x: Tensor) -> bool:
    """Whether every channel of out has the signs of some channel of x, a different one for each."""
    signs = [one.sign().transpose(0, 1).flatten(1) for one in (out, x)]
    same = signs[0] @ signs[1].T == signs[0].shape[1]
    return bool((same.sum(0) == 1).all() and (same.sum(1) == 1).all())


def keeps_without_weights(module: nn.Module, x: Tensor) -> bool:
    """Whether a module whose parameters are zero returns its input."""
    for parameter in module.parameters():
        parameter.zero_()
    return close(module(x), x)


def growth(name: str, channels: int = 256) -> float:
    """The power of the number of positions that the work on large maps grows with.

    It is 1 where every position costs the same, and 2 for all pairs. Work is counted without
    computing: in multiply-adds, or in bytes moved where these take longer.
    """
    with torch.device("meta"):
        module = build_attention(name, channels).eval()
        maps = [torch.empty(1, channels, side, side) for side in (80, 160)]
    with ShapeMode():
        costs = [counted(module, x) for x in maps]
    work = [gigaflops + FLOPS_PER_BYTE * moved / 1e3 for gigaflops, moved in costs]
    return round(math.log(work[1] / work[0], 4), 2)


def row(each: Candidate, x: Tensor) -> dict[str, object]:
    """One row of the table; times in milliseconds, memory in MB, NaN as null."""
    gigaflops, moved = counted(each.module, x)
    mean, spread = gate(each.module, x)
    return {
        "name": each.name,
        "parameters": sum(one.numel() for one in each.module.parameters()),
        "gflops": round(gigaflops, 3),
        "moved_mb": round(moved),
        "forward_ms": round(statistics.median(each.forward_ms), 1),
        "train_ms": round(statistics.median(each.train_ms), 1),
        "kept_mb": round(bytes_kept_by(each.module, x) / 1e6, 1),
        "gate_mean": None if math.isnan(mean) else round(mean, 2) + 0.0,
        "gate_std": None if math.isnan(spread) else round(spread, 2),
        "min_side": smallest_side(each.name, x.shape[1]),
        "growth": growth(each.name, x.shape[1]),
        "effect": effect_of(each.name),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure and write the table. Raises UserError for impossible flags."""
    config = build(GlanceConfig, read_flags(GlanceConfig, argv, (__doc__ or "").split("\n\n")[0]))
    device = take_device(config.device)
    warnings.simplefilter("ignore")  # of options that suit other maps
    candidates, _ = make_candidates(config, device)
    x = torch.randn(config.shape, generator=torch.Generator().manual_seed(0)).to(device)
    time_candidates(candidates, x)
    table = {
        "machine": f"{processor_name()}; {describe_device(device)}",
        "shape": list(config.shape),
        "rounds": min(len(each.train_ms) for each in candidates),
        "rows": [row(each, x) for each in sorted(candidates, key=lambda one: one.name.lower())],
    }
    with atomic_write(TABLE) as file:
        file.write((json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
    print(f"{TABLE}: {len(candidates)} modules")


if __name__ == "__main__":
    sys.exit(run_main(main))
