"""Studies that are looked at several times, simulated: python -m bench.ablation_looks

It prints the error, the power and the saving of the section "Looking again" of docs/ablation.md.
Each figure is from as many studies as --draws says. With 10,000 the standard error of a share of
5 % is 0.22 points, and that of 80 % is 0.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ablation.statistics.dunnett import Array
from ablation.statistics.sequential import Course, Plan, make_plan
from bench.ablation_calibration import pair_of
from bench.ablation_looks_methods import METHODS, follow, play
from bench.ablation_methods import guarded
from bench.ablation_simulation import EFFECT, NOISES, false_shares, lose_runs, simulate, with_effect
from bench.markdown_table import markdown_rows
from bench.simulation_tables import simulated_tables
from utils.seeds import stream

ARMS = (1, 6, 25)
LOOKS = ((3, 6), (5, 10), (3, 5, 8), (3, 5, 8, 12), (3, 4, 5, 6, 8))
MODES = {"looks": (False, False), "futility": (True, False), "adaptive": (True, True)}
SMALLER = 2.0  # the effect whose power is shown; 2.5 is nearly always found with 8 seeds


def drawn(kind: str, arms: int, looks: tuple[int, ...], draws: int, name: str = "looks") -> Array:
    """Scores without any effect, with twice the seeds of the last look.

    Args:
        kind: kind of noise.
        arms: number of arms without the baseline.
        looks: seeds at each look.
        draws: number of studies.
        name: part of the key of the draws.
    """
    rng = stream(name, kind, arms, *looks)
    return simulate(kind, (draws, 1 + arms, 2 * looks[-1]), rng)


def plan_of(mode: str, looks: tuple[int, ...], arms: int) -> Plan:
    """The plan of ablate.py in one of MODES."""
    return make_plan(looks, arms, *MODES[mode])


def fixed_power(scores: Array, plan: Plan) -> float:
    """Per cent of studies whose last arm helps, judged once, at the seeds of the last look."""
    once = scores.copy()
    once[:, 0, plan.baselines * plan.looks[-1] :] = np.nan
    once[:, 1:, plan.looks[-1] :] = np.nan
    return 100 * float((guarded(once)[:, -1] > 0).mean())


def power_of(course: Course) -> float:
    """Per cent of studies whose last arm helps."""
    return 100 * float((course.signs[:, -1] > 0).mean())


def saved_by(course: Course, plan: Plan) -> float:
    """Per cent of the runs of the last look that were not needed, those of the baseline too."""
    planned = (course.seeds.shape[-1] + plan.baselines) * plan.looks[-1]
    return 100 * (1 - float((course.seeds.sum(-1) + course.baseline).mean()) / planned)


def choice_rows(looks: tuple[int, ...], arms: int, draws: int) -> list[list[str]]:
    """For each method, false verdicts under each noise, power and saving.

    Args:
        looks: seeds at each look.
        arms: number of arms without the baseline.
        draws: number of simulated studies.
    """
    studies = [drawn(kind, arms, looks, draws) for kind in NOISES]
    helped, plan = with_effect(studies[0], SMALLER), plan_of("looks", looks, arms)
    rows = []
    for method in METHODS:
        signs = [follow(method, study, looks, EFFECT).signs for study in studies]
        any_false = 100 * float((signs[0] != 0).any(-1).mean())
        course = follow(method, helped, looks, EFFECT)
        rows.append(
            [
                method,
                " ".join(map(str, looks)),
                str(arms),
                *(pair_of(false_shares(one)) for one in signs),
                f"{any_false:.1f}",
                f"{fixed_power(helped, plan):.0f}",
                f"{power_of(course):.0f}",
                f"{saved_by(course, plan):.0f}",
            ]
        )
    return rows


def error_rows(looks: tuple[int, ...], arms: int, draws: int) -> list[list[str]]:
    """False verdicts of the chosen method, in each of MODES.

    Args:
        looks: seeds at each look.
        arms: number of arms without the baseline.
        draws: number of simulated studies.
    """
    studies = [drawn(kind, arms, looks, draws, "error") for kind in NOISES]
    rows = []
    for mode in MODES:
        plan = plan_of(mode, looks, arms)
        shares = [pair_of(false_shares(play(study, plan, EFFECT).signs)) for study in studies]
        rows.append([mode, " ".join(map(str, looks)), str(arms), *shares])
    return rows


def power_rows(looks: tuple[int, ...], arms: int, draws: int) -> list[list[str]]:
    """Power for one arm that helps, and runs saved with it and without any effect.

    Args:
        looks: seeds at each look.
        arms: number of arms without the baseline.
        draws: number of simulated studies.
    """
    study = drawn("normal", arms, looks, draws, "power")
    helped = with_effect(study, SMALLER)
    plans = [plan_of(mode, looks, arms) for mode in MODES]
    won = [play(helped, plan, EFFECT) for plan in plans]
    lost = [play(study, plan, EFFECT) for plan in plans]
    saved = [
        f"{saved_by(one, plan):.0f} / {saved_by(other, plan):.0f}"
        for one, other, plan in zip(won, lost, plans, strict=True)
    ]
    power = [fixed_power(helped, plans[0]), *map(power_of, won)]
    return [[" ".join(map(str, looks)), str(arms), *(f"{value:.1f}" for value in power), *saved]]


def design_rows(looks: tuple[int, ...], arms: int, draws: int) -> list[list[str]]:
    """False "helps" with failed runs, and of useless arms beside others that help or hurt.

    Args:
        looks: seeds at each look.
        arms: number of arms without the baseline.
        draws: number of simulated studies.
    """
    half = arms // 2
    changes: dict[str, Callable[[Array], Array]] = {
        "1 run in 10 failed": lambda scores: lose_runs(scores, stream("failed", arms, *looks)),
        "half of the arms help": lambda scores: shifted(scores, half, EFFECT),
        "half of the arms hurt": lambda scores: shifted(scores, half, -EFFECT),
    }
    if not half:
        changes = {"1 run in 10 failed": changes["1 run in 10 failed"]}
    rows = []
    for name, change in changes.items():
        without = 0 if "failed" in name else half  # only useless arms can be mistaken
        studies = [change(drawn(kind, arms, looks, draws, name)) for kind in NOISES]
        for mode in MODES:
            plan = plan_of(mode, looks, arms)
            signs = [play(study, plan, EFFECT).signs[:, without:] for study in studies]
            shares = [pair_of(false_shares(one)) for one in signs]
            rows.append([f"{name}, {mode}", " ".join(map(str, looks)), str(arms), *shares])
    return rows


def shifted(scores: Array, arms: int, effect: float) -> Array:
    """The same scores with an effect added to the first arms."""
    changed = scores.copy()
    changed[:, 1 : 1 + arms] += effect
    return changed


def worst_rows(rows: Sequence[Sequence[str]], first: int, last: int) -> list[list[str]]:
    """For each name in the first column: the worst "helps" and "hurts", and where "helps" is worst.

    Args:
        rows: rows of a table whose first three columns are a name, looks and arms.
        first: first column with "helps / hurts", in the order of NOISES.
        last: column after the last of them.
    """
    found = []
    for name in dict.fromkeys(row[0] for row in rows):
        helps: list[tuple[float, str]] = []
        hurts: list[float] = []
        for row in (row for row in rows if row[0] == name):
            for cell, kind in zip(row[first:last], NOISES, strict=True):
                help_share, hurt_share = map(float, cell.split(" / "))
                helps.append((help_share, f"{kind}, {row[2]} arms, {row[1]}"))
                hurts.append(hurt_share)
        most, where = max(helps)
        found.append([name, f"{most} %", f"{max(hurts)} %", where])
    return found


SHAPE = ["looks", "arms"]
TABLE_HEADERS = {
    "choice": ["method", *SHAPE, *NOISES, "any, normal", "power once", "power", "runs saved %"],
    "error": ["mode", *SHAPE, *NOISES],
    "power": [
        *SHAPE,
        "judged once",
        *MODES,
        *(f"saved: {mode}" for mode in MODES),
    ],
    "design": ["design", *SHAPE, *NOISES],
}
MAKERS: dict[str, Callable[..., list[list[str]]]] = {
    "choice": choice_rows,
    "error": error_rows,
    "power": power_rows,
    "design": design_rows,
}


def jobs_of(_table: str) -> list[tuple[tuple[int, ...], int]]:
    """The looks and numbers of arms, which are the same in every table."""
    return [(looks, arms) for looks in LOOKS for arms in ARMS]


def main() -> None:
    description = (__doc__ or "").split(":")[0]
    for table, rows in simulated_tables(description, MAKERS, jobs_of):
        print(f"\n## {table}\n\n{markdown_rows(TABLE_HEADERS[table], rows)}", flush=True)
        if table != "power":
            worst = worst_rows(rows, 3, 3 + len(NOISES))
            heads = [TABLE_HEADERS[table][0], 'worst "helps"', 'worst "hurts"', "where"]
            print(f"\n{markdown_rows(heads, worst)}", flush=True)


if __name__ == "__main__":
    main()
