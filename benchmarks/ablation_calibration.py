"""Simulated ablation studies: is the error held, and what is the power? python -m
benchmarks.ablation_calibration

Prints the tables of docs/ablation.md: 10,000 studies per figure, 4,000 in the planning table, 400 a
cell in the check of further_seeds. The noise of a run has standard deviation 1 in arms of ordinary
noise; effects are in that unit. Scores contain what the seed does to all arms: a share `seed` of
the variance is common. A share of 5 % is known to 0.22 points (one standard error) with 10,000
draws, one of 80 % to 0.4.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from ablation.statistics.dunnett import POOLED_ARMS, contrasts, critical_value, expected_power
from ablation.statistics.planning import HOPELESS, baseline_seeds, conditional_power, further_seeds
from benchmarks.ablation_methods import METHODS, guarded
from utils.seeds import stream

Array = np.ndarray
NOISES = ("normal", "t(4)", "graded", "graded t(4)", "one arm", "baseline")
ARMS, SEEDS = (1, 6, 25), (3, 4, 5, 8)
PLANNED_ARMS = (1, 3, 6, 12, 25)
EFFECT = 2.5  # 0.5 mAP where the noise is 0.2
LEGEND = """\
normal: the same for all. t(4): heavy tails, the same variance. graded: standard deviations from 1 (baseline) to 3 (last
arm) in equal ratios. one arm: the last has 3, all others 1. baseline: it has 3, all arms 1. No arm has any effect."""


def simulate(
    kind: str, shape: tuple[int, int, int], rng: np.random.Generator, seed_share: float = 0.3
) -> Array:
    """Scores [draws, 1 + arms, seeds] of arms that do nothing."""
    draws, rows, seeds = shape
    heavy = kind.endswith("t(4)")
    noise = rng.standard_t(4, shape) / math.sqrt(2) if heavy else rng.standard_normal(shape)
    scale = np.geomspace(1, 3, rows) if kind.startswith("graded") else np.ones(rows)
    if kind == "one arm":
        scale[-1] = 3
    if kind == "baseline":
        scale[0] = 3
    common = math.sqrt(seed_share / (1 - seed_share)) * rng.standard_normal((draws, 1, seeds))
    return noise * scale[:, None] + common


def false_shares(signs: Array) -> tuple[float, float]:
    """Per cent of studies with a "helps", and with a "hurts"."""
    return 100 * float((signs > 0).any(-1).mean()), 100 * float((signs < 0).any(-1).mean())


def pair(shares: tuple[float, float]) -> str:
    return f"{shares[0]:.1f} / {shares[1]:.1f}"


def with_effect(scores: Array, effect: float) -> Array:
    """The last arm helps by effect."""
    changed = scores.copy()
    changed[:, -1] += effect
    return changed


def choice_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """False verdicts under each noise and the power under normal noise, for each method."""
    rows = []
    studies = [
        simulate(kind, (draws, 1 + arms, seeds), stream("choice", kind, arms, seeds))
        for kind in NOISES
    ]
    helped = with_effect(studies[0], EFFECT)
    for name, method in METHODS.items():
        shares = [pair(false_shares(method(study))) for study in studies]
        power = 100 * float((method(helped)[:, -1] > 0).mean())
        rows.append([name, str(arms), str(seeds), *shares, f"{power:.0f}"])
    return rows


def lose_runs(scores: Array, rng: np.random.Generator) -> Array:
    """One run in ten failed."""
    return np.where(rng.random(scores.shape) < 0.1, np.nan, scores)


def stop_early(scores: Array, delta: float = EFFECT) -> Array:
    """Runs of arms that the futility rule stops are never made; it is asked after every seed from
    the third on.
    """
    scores, planned = scores.copy(), scores.shape[-1]
    for seen in range(3, planned):
        so_far = scores.copy()
        so_far[..., seen:] = np.nan
        stopped = conditional_power(contrasts(so_far), delta, planned) < HOPELESS
        stopped |= np.isnan(scores[:, 1:, seen - 1])  # once stopped, stopped
        scores[:, 1:, seen:] = np.where(stopped[..., None], np.nan, scores[:, 1:, seen:])
    return scores


def more_baseline(scores: Array, extra: int) -> Array:
    """The arms have not the last seeds, the baseline has."""
    scores = scores.copy()
    scores[:, 1:, scores.shape[-1] - extra :] = np.nan
    return scores


def two_looks(scores: Array, first: int) -> Array:
    """Judged after the first seeds; where nothing was found for an arm, again with all of them."""
    early = guarded(scores[..., :first])
    return np.where(early != 0, early, guarded(scores))


def design_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """False verdicts of the chosen method in studies that are not simple tables."""
    designs: dict[str, Callable[[Array, np.random.Generator], Array]] = {
        "1 run in 10 failed": lambda scores, rng: guarded(lose_runs(scores, rng)),
        "futility rule": lambda scores, rng: guarded(stop_early(scores)),
        "looked at twice": lambda scores, rng: two_looks(scores, seeds),
    }
    widths = {"looked at twice": 2 * seeds}
    for share in (0.0, 0.3, 0.6):
        designs[f"baseline twice, seed {share}"] = lambda scores, rng: guarded(
            more_baseline(scores, seeds)
        )
        widths[f"baseline twice, seed {share}"] = 2 * seeds
    if seeds == 3:
        del designs["futility rule"]  # it has nothing to say before the third seed
    rows = []
    for name, judge in designs.items():
        shares = []
        for kind in NOISES:
            rng = stream("design", name, kind, arms, seeds)
            seed_share = float(name.split()[-1]) if name.startswith("baseline") else 0.3
            study = simulate(kind, (draws, 1 + arms, widths.get(name, seeds)), rng, seed_share)
            shares.append(pair(false_shares(judge(study, rng))))
        rows.append([name, str(arms), str(seeds), *shares])
    return rows


def baseline_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """Power with the plain design, with twice the baseline, and with one more seed for all."""
    rows = []
    for share in (0.0, 0.3, 0.6):
        rng = stream("baseline", str(share), arms, seeds)
        study = with_effect(simulate("normal", (draws, 1 + arms, 2 * seeds), rng, share), 2.0)
        designs = (study[..., :seeds], more_baseline(study, seeds), study[..., : seeds + 1])
        power = [100 * float((guarded(scores)[:, -1] > 0).mean()) for scores in designs]
        chosen = "yes" if baseline_seeds(arms, seeds) > seeds else "no"
        rows.append(
            [
                str(arms),
                str(seeds),
                str(share),
                *(f"{p:.0f}" for p in power),
                f"{seeds} / {arms + 1}",
                chosen,
            ]
        )
    return rows


def futility_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """What the futility rule saves and costs; the last arm helps by EFFECT or nothing does."""
    rng = stream("futility", arms, seeds)
    study = simulate("normal", (draws, 1 + arms, seeds), rng)
    helped = with_effect(study, EFFECT)
    saved = 100 * float(np.isnan(stop_early(study)[:, 1:]).mean())
    power = [
        100 * float((guarded(scores)[:, -1] > 0).mean()) for scores in (helped, stop_early(helped))
    ]
    return [[str(arms), str(seeds), f"{saved:.0f}", f"{power[0]:.1f}", f"{power[1]:.1f}"]]


def further_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """Studies of so few seeds, the number printed for the last arm, and its power in new studies of
    that many.
    """
    rows = []
    for effect in (1.0, 1.5, 2.5):
        rng = stream("further", arms, seeds, str(effect))
        found = contrasts(simulate("normal", (min(draws, 400), 1 + arms, seeds), rng))
        totals = [
            seeds + further_seeds(one_study(found, place), arms - 1, effect)
            for place in range(len(found.df))
        ]
        sizes, counts = np.unique(totals, return_counts=True)
        power = 0.0
        for size, count in zip(sizes, counts, strict=True):
            again = with_effect(
                simulate("normal", (max(200, 10 * count), 1 + arms, size), rng), effect
            )
            power += count / len(totals) * float((guarded(again)[:, -1] > 0).mean())
        low, middle, high = np.quantile(totals, (0.1, 0.5, 0.9))
        spread = f"{middle:.0f} ({low:.0f}-{high:.0f})"
        rows.append([str(arms), str(seeds), f"{effect:g}", spread, f"{100 * power:.0f}"])
    return rows


def one_study(found: Any, place: int) -> Any:
    """A single study out of contrasts() of many."""
    return type(found)(*(getattr(found, name)[place] for name in found.__dataclass_fields__))


def simulated_power(arms: int, seeds: int, effect: float, draws: int) -> float:
    study = simulate("normal", (draws, 1 + arms, seeds), stream("plan", arms, seeds, str(effect)))
    return float((guarded(with_effect(study, effect))[:, -1] > 0).mean())


def planning_rows(sd_pair: float, draws: int) -> list[list[str]]:
    """Seeds that give 0.5 mAP a power of 0.8 at this noise of a paired difference, in mAP, by
    simulation.
    """
    cells = []
    for arms in PLANNED_ARMS:
        ratio, seeds = 0.5 / sd_pair, 3
        while df := min(arms, POOLED_ARMS) * (seeds - 1):  # first without the guard, by formula
            if expected_power(ratio * math.sqrt(seeds), critical_value(arms, df), df, 1e5) >= 0.8:
                break
            seeds += 1
        while (power := simulated_power(arms, seeds, ratio * math.sqrt(2), min(draws, 4000))) < 0.8:
            seeds += 1
        cells.append(f"{seeds} ({100 * power:.0f})")
    return [[f"{sd_pair:g}", *cells]]


HEADERS = {
    "choice": ["method", "arms", "seeds", *NOISES, "power at 2.5"],
    "design": ["design", "arms", "seeds", *NOISES],
    "baseline": [
        "arms",
        "seeds",
        "seed share",
        "plain",
        "twice the baseline",
        "a seed more",
        "runs",
        "chosen",
    ],
    "futility": ["arms", "seeds", "runs saved %", "power without", "power with"],
    "further": ["arms", "seeds", "effect", "seeds in all (10-90 %)", "power then"],
    "planning": ["sd of a pair", *(f"{arms} arm{'s' * (arms > 1)}" for arms in PLANNED_ARMS)],
}
MAKERS: dict[str, Callable[..., list[list[str]]]] = {
    "choice": choice_rows,
    "design": design_rows,
    "baseline": baseline_rows,
    "futility": futility_rows,
    "further": further_rows,
    "planning": planning_rows,
}


def jobs_of(table: str) -> Iterable[tuple[Any, ...]]:
    if table == "planning":
        return [(sd,) for sd in (0.15, 0.2, 0.3, 0.45, 0.6, 0.9)]
    arms = {"baseline": (1, 3, 6, 25), "choice": ARMS, "design": ARMS}.get(table, ARMS)
    seeds = {
        "choice": SEEDS,
        "design": (3, 5, 8),
        "baseline": (3, 5),
        "futility": (5, 8),
        "further": (3, 5),
    }[table]
    return [(a, s) for a in arms for s in seeds]


def work(job: tuple[str, tuple[Any, ...], int]) -> list[list[str]]:
    table, key, draws = job
    return MAKERS[table](*key, draws)


def markdown(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("?")[0])
    parser.add_argument("--draws", type=int, default=10_000, help="studies behind each figure")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--tables", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    flags = parser.parse_args()
    start = time.perf_counter()
    spread: Callable[..., Any] = map
    pool = ProcessPoolExecutor(flags.jobs) if flags.jobs > 1 else None
    if pool:
        spread = functools.partial(pool.map, chunksize=1)
    for table in flags.tables:
        rows = [
            row
            for part in spread(work, [(table, key, flags.draws) for key in jobs_of(table)])
            for row in part
        ]
        if table == "choice":
            rows.sort(key=lambda row: list(METHODS).index(row[0]))
        print(f"\n## {table}\n\n{markdown(HEADERS[table], rows)}", flush=True)
    print(f"\n{LEGEND}\n{flags.draws} draws, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
