"""The scores of a study: their checks, their table, and how much they scatter.

Scores and differences are in 0..1, so 0.451 and not 45.1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablation.statistics.dunnett import Array
from utils.errors import UserError

Scores = Mapping[str, Mapping[int, float]]  # arm -> seed -> score


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a study, NaN if there are fewer than two values.

    Attributes:
        sd_pair: standard deviation of the difference of two arms on one seed.
        sd_seed: standard deviation of the baseline's score if only the seed changes.
    """

    sd_pair: float
    sd_seed: float


def check_scores(scores: Scores, baseline: str, delta: float, level: float) -> None:
    """Refuse input for which no verdict can be computed.

    Args:
        scores: scores of all arms.
        baseline: name of the baseline among them.
        delta: smallest difference of interest, above 0.
        level: level of confidence, 0.5..1.

    Raises:
        UserError: one of these values is impossible.
    """
    if baseline not in scores:
        raise UserError(
            f"{baseline}: the baseline is none of the arms ({', '.join(scores)}); name one of them"
        )
    if not delta > 0 or not math.isfinite(delta):  # nan is not above 0 either
        raise UserError(
            f"--delta {delta}: must be more than 0; it is the smallest difference of interest"
        )
    if not 0.5 < level < 1:
        raise UserError(f"level {level}: must be between 0.5 and 1, such as 0.95")
    for arm, values in scores.items():
        for seed, score in values.items():
            if not math.isfinite(score):
                raise UserError(
                    f"{arm}, seed {seed}: the score is {score}; remove this run, or train it again"
                )


def score_table(baseline: Mapping[int, float], arms: Scores) -> Array:
    """Scores as a table [1 + arms, seeds] of the baseline's seeds, NaN where an arm has none."""
    seeds = sorted(baseline)
    table = np.full((1 + len(arms), max(len(seeds), 1)), np.nan)
    for row, values in enumerate((baseline, *arms.values())):
        for column, seed in enumerate(seeds):
            table[row, column] = values.get(seed, np.nan)
    return table


def noise(scores: Scores, baseline: str, controls: Collection[str] = ()) -> Noise:
    """How much runs scatter.

    Args:
        scores: scores of all arms.
        baseline: name of the baseline among them.
        controls: names of the A/A arms, which are the baseline, and count for sd_seed only.
    """
    table = score_table(
        scores[baseline],
        {arm: own for arm, own in scores.items() if arm not in (baseline, *controls)},
    )
    # A module that trains badly scatters several times as much, so other arms tell nothing of it.
    rows = [np.array([*scores[arm].values()]) for arm in (baseline, *controls) if arm in scores]
    return Noise(
        _pooled_sd([row[~np.isnan(row)] for row in table[1:] - table[0]]), _pooled_sd(rows)
    )


def _pooled_sd(rows: Sequence[Array]) -> float:
    """Standard deviation within rows of values [n], each around its own mean."""
    df = sum(len(row) - 1 for row in rows if len(row) > 1)
    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in rows if len(row) > 1)
    return math.sqrt(squares / df) if df else math.nan
