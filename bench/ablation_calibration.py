"""Error and power of the verdicts in simulated studies: python -m bench.ablation_calibration

It prints the tables of docs/ablation.md. Each figure is from 10,000 studies, in the planning table
from 4,000, and in the check of further_seeds from 400. With 10,000 draws the standard error of a
share of 5 % is 0.22 points, and that of 80 % is 0.4.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from ablation.statistics.dunnett import (
    POOLED_ARMS,
    Array,
    Contrasts,
    contrasts,
    critical_value,
    expected_power,
)
from ablation.statistics.planning import baseline_seeds, further_seeds
from bench.ablation_methods import METHODS, guarded
from bench.ablation_simulation import (
    EFFECT,
    NOISES,
    false_shares,
    lose_runs,
    more_baseline,
    simulate,
    stop_early,
    two_looks,
    with_effect,
)
from bench.markdown_table import markdown_rows
from bench.simulation_tables import simulated_tables
from utils.seeds import stream

ARMS, SEEDS = (1, 6, 25, 63), (3, 4, 5, 8)
MOST_ARMS, CHOSEN = max(ARMS), "guarded Dunnett"
PLANNED_ARMS = (1, 3, 6, 12, 25)
SEED_SHARES = (0.0, 0.3, 0.6)
NOISE_LEGEND = """\
normal: the same for all. t(4): heavy tails, the same variance. graded: standard deviations from 1
(baseline) to 3 (last arm) in equal ratios. one arm: the last has 3, all others 1. baseline: the
baseline has 3, all arms 1. uneven: the arms' variances are 4 / chi2(4). alike: half of the arms
have the baseline's noise and 0.3 of their own, the others 1.5. few: one arm in 20 (at least one)
has the baseline's noise and 1.8 of its own, the others 0.25. No arm has any effect."""


def pair_of(shares: tuple[float, float]) -> str:
    """Two shares in per cent as text: "helps" / "hurts"."""
    return f"{shares[0]:.1f} / {shares[1]:.1f}"


def choice_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """For each method, false verdicts under each noise and the power under normal noise.

    Args:
        arms: number of arms without the baseline.
        seeds: number of seeds of each arm.
        draws: number of simulated studies.
    """
    rows = []
    studies = [
        simulate(kind, (draws, 1 + arms, seeds), stream("choice", kind, arms, seeds))
        for kind in NOISES
    ]
    # Power is measured on the same draws, with an effect added to the last arm.
    helped = with_effect(studies[0], EFFECT)
    # The others were compared for numbers of arms that most studies have.
    methods = METHODS if arms < MOST_ARMS else {CHOSEN: METHODS[CHOSEN]}
    for name, method in methods.items():
        shares = [pair_of(false_shares(method(study))) for study in studies]
        power = 100 * float((method(helped)[:, -1] > 0).mean())
        rows.append([name, str(arms), str(seeds), *shares, f"{power:.0f}"])
    return rows


def design_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """False verdicts of the chosen method in studies with missing, extra or later runs.

    Args:
        arms: number of arms without the baseline.
        seeds: number of seeds of each arm.
        draws: number of simulated studies.
    """
    designs: dict[str, Callable[[Array, np.random.Generator], Array]] = {
        "1 run in 10 failed": lambda scores, rng: guarded(lose_runs(scores, rng)),
        "futility rule": lambda scores, rng: guarded(stop_early(scores)),
        "looked at twice": lambda scores, rng: two_looks(scores, seeds),
    }
    widths = {"looked at twice": 2 * seeds}
    for share in SEED_SHARES:
        designs[f"baseline twice, seed {share}"] = lambda scores, rng: guarded(
            more_baseline(scores, seeds)
        )
        widths[f"baseline twice, seed {share}"] = 2 * seeds
    if seeds == 3:
        del designs["futility rule"]  # The rule decides nothing before the third seed.
    if arms == MOST_ARMS:  # Such studies are large, and have twice the seeds for the baseline.
        designs = {name: judge for name, judge in designs.items() if name in widths}
        del designs["looked at twice"]
    rows = []
    for name, judge in designs.items():
        shares = []
        for kind in NOISES:
            rng = stream("design", name, kind, arms, seeds)
            seed_share = float(name.split()[-1]) if name.startswith("baseline") else 0.3
            study = simulate(kind, (draws, 1 + arms, widths.get(name, seeds)), rng, seed_share)
            shares.append(pair_of(false_shares(judge(study, rng))))
        rows.append([name, str(arms), str(seeds), *shares])
    return rows


def baseline_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """Power as designed, with twice as many baseline seeds, and with one more seed for all.

    Args:
        arms: number of arms without the baseline.
        seeds: number of seeds of each arm.
        draws: number of simulated studies.
    """
    rows = []
    for share in SEED_SHARES:
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
    """Runs that the futility rule saves if no arm has an effect, and the power that it costs.

    Args:
        arms: number of arms without the baseline.
        seeds: number of seeds of each arm.
        draws: number of simulated studies.
    """
    rng = stream("futility", arms, seeds)
    study = simulate("normal", (draws, 1 + arms, seeds), rng)
    helped = with_effect(study, EFFECT)
    saved = 100 * float(np.isnan(stop_early(study)[:, 1:]).mean())
    power = [
        100 * float((guarded(scores)[:, -1] > 0).mean()) for scores in (helped, stop_early(helped))
    ]
    return [[str(arms), str(seeds), f"{saved:.0f}", f"{power[0]:.1f}", f"{power[1]:.1f}"]]


def further_rows(arms: int, seeds: int, draws: int) -> list[list[str]]:
    """Seeds that further_seeds suggests for an arm, and the power of new studies with that many.

    Args:
        arms: number of arms without the baseline.
        seeds: number of seeds of each arm.
        draws: number of simulated studies.
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


def one_study(found: Contrasts, place: int) -> Contrasts:
    """The contrasts of a single study out of many."""
    return Contrasts(*(getattr(found, item.name)[place] for item in dataclasses.fields(found)))


def simulated_power(arms: int, seeds: int, effect: float, draws: int) -> float:
    """Share of studies in which the last of the arms is found to help.

    Args:
        arms: number of arms without the baseline.
        seeds: number of seeds of each arm.
        effect: effect of the last arm, in standard deviations of the noise.
        draws: number of simulated studies.
    """
    study = simulate("normal", (draws, 1 + arms, seeds), stream("plan", arms, seeds, str(effect)))
    return float((guarded(with_effect(study, effect))[:, -1] > 0).mean())


def planning_rows(sd_pair: float, draws: int) -> list[list[str]]:
    """Seeds that show 0.5 mAP with power 0.8 if paired differences scatter by sd_pair, in mAP."""
    cells = []
    for arms in PLANNED_ARMS:
        ratio, seeds = 0.5 / sd_pair, 3
        # The formula ignores the guard and gives a lower bound, from which simulation continues.
        while df := min(arms, POOLED_ARMS) * (seeds - 1):
            if expected_power(ratio * math.sqrt(seeds), critical_value(arms, df), df, 1e5) >= 0.8:
                break
            seeds += 1
        while (power := simulated_power(arms, seeds, ratio * math.sqrt(2), min(draws, 4000))) < 0.8:
            seeds += 1
        cells.append(f"{seeds} ({100 * power:.0f})")
    return [[f"{sd_pair:g}", *cells]]


TABLE_HEADERS = {
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


def jobs_of(table: str) -> list[tuple[float, ...]]:
    """The arguments of a table's maker without the draws, one tuple for each call."""
    if table == "planning":
        return [(sd,) for sd in (0.15, 0.2, 0.3, 0.45, 0.6, 0.9)]
    arms = {"baseline": (1, 3, 6, 25), "choice": ARMS, "design": ARMS}.get(table, ARMS[:-1])
    seeds = {
        "choice": SEEDS,
        "design": (3, 5, 8),
        "baseline": (3, 5),
        "futility": (5, 8),
        "further": (3, 5),
    }[table]
    return [(a, s) for a in arms for s in seeds if a < MOST_ARMS or s < max(seeds)]


def main() -> None:
    description = (__doc__ or "").split("?")[0]
    for table, rows in simulated_tables(description, MAKERS, jobs_of):
        if table == "choice":
            rows.sort(key=lambda row: list(METHODS).index(row[0]))
        print(f"\n## {table}\n\n{markdown_rows(TABLE_HEADERS[table], rows)}", flush=True)
    print(NOISE_LEGEND)


if __name__ == "__main__":
    main()
