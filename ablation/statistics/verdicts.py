"""Does an arm help? Paired scores of many arms against one baseline, with the error held over the
whole study.

The model is a randomised block design: a run's score is its arm's mean, plus what its seed does to
every arm, plus noise. Paired differences drop the seed. Their error is pooled over the arms, as in
Dunnett's test, and raised where an arm or the baseline is noisier than the rest ("guarded").
docs/ablation.md has the reasons and the simulations (benchmarks/ablation_calibration.py) by which
this was chosen. Scores and differences are shares, 0.451 and not 45.1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablation.statistics.dunnett import (
    POOLED_ARMS,
    Contrasts,
    adjusted_p,
    contrasts,
    critical_value,
    expected_power,
    normal_cdf,
)
from utils.errors import UserError

Array = np.ndarray
Scores = Mapping[str, Mapping[int, float]]

LEAST_SEEDS = 3  # two never give a verdict
POWER = 0.8  # of further_seeds
HOPELESS = 0.05  # futile: a smaller chance than this of ending with "helps"
# from so many arms on, a second set of baseline seeds is cheaper than more seeds for every arm
MANY_BASELINES = 6
MOST_SEEDS = 200  # further_seeds looks no further
NO_NOISE = 1e-9  # a standard deviation below this is rounding


@dataclass(frozen=True)
class ArmVerdict:
    """An arm against the baseline. difference, low, high: shares; NaN where there is nothing to
    compute them from.

    seeds: paired ones. low, high: simultaneous interval of the whole family. p: adjusted over the
    arms (Dunnett). p_sign_flip: exact, two-sided, Holm-adjusted. verdict: "helps", "hurts" or "no
    evidence". further_seeds: how many more paired seeds would show delta with power 0.8; 0 if
    decided, and for controls. note: what else to know.
    """

    arm: str
    seeds: int
    difference: float
    low: float
    high: float
    p: float
    p_sign_flip: float
    verdict: str
    further_seeds: int
    note: str


@dataclass(frozen=True)
class Noise:
    """Standard deviations, in shares: of a paired difference, and of a score when only the seed
    changes.
    """

    sd_pair: float
    sd_seed: float


def compare(
    scores: Scores,
    baseline: str,
    delta: float = 0.005,
    level: float = 0.95,
    controls: Collection[str] = (),
) -> list[ArmVerdict]:
    """A verdict for every arm but the baseline, in the order of scores (arm -> seed -> score).

    Arms are a family: at most 1 - level of studies have a false verdict. controls: the baseline's
    own runs under other seeds (A/A), a family of their own, paired with the baseline in the order
    of the seeds. Raises UserError for a score that is not finite, a baseline that is no arm, delta
    <= 0 and level outside 0.5 .. 1.
    """
    check(scores, baseline, delta, level)
    found: dict[str, ArmVerdict] = {}
    for is_control in (False, True):
        arms = [arm for arm in scores if arm != baseline and (arm in controls) == is_control]
        seeds = sorted(scores[baseline])
        family = {arm: _in_order(scores[arm], seeds) if is_control else scores[arm] for arm in arms}
        for verdict in (
            _judge(_table(scores[baseline], family), arms, delta, level, is_control) if arms else []
        ):
            found[verdict.arm] = verdict
    return [found[arm] for arm in scores if arm != baseline]


def check(scores: Scores, baseline: str, delta: float, level: float) -> None:
    """Raise UserError where no sense can be made of the input."""
    if baseline not in scores:
        raise UserError(
            f"{baseline}: the baseline is none of the arms ({', '.join(scores)}); name one of them"
        )
    if not delta > 0 or not math.isfinite(delta):
        raise UserError(
            f"--delta {delta}: must be more than 0; it is the smallest difference of interest"
        )
    if not 0.5 < level < 1:
        raise UserError(f"level {level}: must lie between 0.5 and 1, as 0.95 does")
    for arm, values in scores.items():
        for seed, score in values.items():
            if not math.isfinite(score):
                raise UserError(
                    f"{arm}, seed {seed}: the score is {score}; leave this run out, or train it"
                    " again"
                )


def _in_order(values: Mapping[int, float], seeds: Sequence[int]) -> dict[int, float]:
    """A control's scores under the baseline's seeds."""
    return dict(zip(seeds, (values[seed] for seed in sorted(values)), strict=False))


def _table(baseline: Mapping[int, float], arms: Scores) -> Array:
    """[1 + arms, seeds] for contrasts(): the baseline's seeds, and what the arms have of them."""
    seeds = sorted(baseline)
    table = np.full((1 + len(arms), max(len(seeds), 1)), np.nan)
    for row, values in enumerate((baseline, *arms.values())):
        for column, seed in enumerate(seeds):
            table[row, column] = values.get(seed, np.nan)
    return table


def _judge(
    table: Array, arms: Sequence[str], delta: float, level: float, is_control: bool
) -> list[ArmVerdict]:
    """The verdicts of one family. table: [1 + arms, seeds], the baseline first."""
    found = contrasts(table)
    flips = [sign_flip(row[~np.isnan(row)]) for row in table[1:] - table[0]]
    flips = holm(flips)
    verdicts = []
    for row, arm in enumerate(arms):
        seeds, family, df = int(found.pairs[row]), int(found.family), float(found.df)
        difference, error = float(found.difference[row]), float(found.error[row])
        low = high = p = math.nan
        verdict, further, notes = (
            "no evidence",
            0 if is_control else max(0, LEAST_SEEDS - seeds),
            [],
        )
        if is_control:
            notes.append("a control: its seeds are not the baseline's")
        if seeds < LEAST_SEEDS:
            notes.append(
                f"{seeds} paired seed{'s' * (seeds != 1)}, and no verdict on fewer than"
                f" {LEAST_SEEDS}"
            )
        if seeds > 1 and found.variance[row] <= NO_NOISE**2:
            notes.append("the scores do not vary with the seed, so there is no noise to judge by")
        elif seeds > 1:
            half = critical_value(family, df, level) * error
            low, high, p = (
                difference - half,
                difference + half,
                adjusted_p(difference / error, family, df),
            )
            if seeds >= LEAST_SEEDS and abs(difference) > half:
                verdict, further = "helps" if difference > 0 else "hurts", 0
            elif not is_control:
                further = (
                    0 if high < delta and not further else further_seeds(found, row, delta, level)
                )
                notes += _about_delta(high, seeds + further, further, delta)
        notes += _about_correction(table[[0, 1 + row]], difference)
        if seeds >= LEAST_SEEDS:
            notes += _about_flips(seeds, family, level)
        note = "; ".join(notes)
        verdicts.append(
            ArmVerdict(arm, seeds, difference, low, high, p, flips[row], verdict, further, note)
        )
    return verdicts


def _about_delta(high: float, seeds: int, further: int, delta: float) -> list[str]:
    """Why no further seeds are asked for, or that no number of them is enough."""
    if seeds >= MOST_SEEDS and further:
        return [f"fewer than {MOST_SEEDS} seeds would not show {100 * delta:g} mAP"]
    if further:
        return []
    if high < delta:
        return [f"a gain of {100 * delta:g} mAP is ruled out"]
    return [f"a gain of {100 * delta:g} mAP would have shown with power {POWER:g}"]


def _about_correction(pair: Array, difference: float) -> list[str]:
    """What the paired seeds alone say, where other runs of the baseline change it. pair: [2,
    seeds], baseline first.
    """
    gaps = (pair[1] - pair[0])[~np.isnan(pair).any(0)]
    others = int((~np.isnan(pair[0])).sum()) - len(gaps)
    if not others or not len(gaps) or abs(difference - gaps.mean()) < NO_NOISE:
        return []
    alone = f"{100 * gaps.mean():+.2f}".replace("-", "−")
    return [
        f"{alone} mAP on the paired seeds, corrected by the baseline's {others} other"
        f" seed{'s' * (others > 1)}"
    ]


def _about_flips(seeds: int, family: int, level: float) -> list[str]:
    """Whether 2^seeds sign patterns, halved for both directions and shared by the family, can reach
    the level.
    """
    if family * 2.0 ** (1 - seeds) <= 1 - level + 1e-12:
        return []
    needed = next(n for n in range(seeds, 99) if family * 2.0 ** (1 - n) <= 1 - level + 1e-12)
    return [f"the sign-flip test cannot decide with {seeds} seeds, from {needed} on it can"]


def further_seeds(found: Contrasts, row: int, delta: float, level: float = 0.95) -> int:
    """How many more paired seeds for all arms would show a true difference of delta with POWER, on
    average over what the noise may be. Counts as if the baseline had no seeds beyond the arms'.
    found: of one study.
    """
    have, family, df = int(found.pairs[row]), int(found.family), float(found.df)
    per_seed = delta / math.sqrt(float(found.variance[row]))

    def enough(seeds: int) -> bool:
        later = min(family, POOLED_ARMS) * (seeds - 1)
        effect = per_seed * math.sqrt(seeds)
        return expected_power(effect, critical_value(family, later, level), later, df) >= POWER

    low, high = max(have, LEAST_SEEDS) - 1, MOST_SEEDS  # not enough; enough, or given up
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - have


def sign_flip(differences: Array) -> float:
    """Exact two-sided p-value of paired differences [seeds]: the share of all 2^n sign patterns
    with so large a sum.

    Assumes nothing but that a difference of no effect has either sign equally often. 1.0 without
    differences. Both halves of the seeds are enumerated apart, so that 40 seeds take 2^20 sums.
    """
    if not len(differences):
        return 1.0
    left, right = (_signed_sums(part) for part in np.array_split(differences, 2))
    reach = (
        abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    )  # equal sums differ by rounding
    if reach <= 0:
        return 1.0
    right = np.sort(right)
    count = int((len(right) - np.searchsorted(right, reach - left)).sum())
    return min(1.0, 2 * count / 2 ** len(differences))


def _signed_sums(values: Array) -> Array:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values. S.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted, least = [1.0] * len(p), 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = least
    return adjusted


def futile(
    scores: Scores, baseline: str, delta: float, planned_seeds: int, controls: Collection[str] = ()
) -> set[str]:
    """Arms with hardly a chance left of "helps" by planned_seeds, by a rule that is fixed before
    the start.

    Stopped is an arm with half of the planned seeds, and at least three, whose conditional power
    (Lan and Wittes, Biometrics 44, 1988) is below HOPELESS even if its true difference is delta, or
    what it has shown if that is more. Controls go on.
    """
    check(scores, baseline, delta, 0.95)
    arms = {arm: values for arm, values in scores.items() if arm not in (baseline, *controls)}
    if not arms:
        return set()
    power = conditional_power(contrasts(_table(scores[baseline], arms)), delta, planned_seeds)
    return {arm for arm, chance in zip(arms, power, strict=True) if chance < HOPELESS}


def conditional_power(found: Contrasts, delta: float, planned_seeds: int) -> Array:
    """[..., arms]: chance of "helps" at planned_seeds; 1 where it is too early to say, or there is
    nothing to save.
    """
    left = np.maximum(planned_seeds - found.pairs, 0)
    sizes, places = np.unique(found.family, return_inverse=True)
    dfs = np.clip(sizes, 1, POOLED_ARMS) * max(planned_seeds - 1, 1)
    limits = [
        critical_value(max(int(arms), 1), int(df)) for arms, df in zip(sizes, dfs, strict=True)
    ]
    limit = np.array(limits)[places].reshape(found.family.shape)[..., None]
    truth = np.maximum(delta, found.difference)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = found.pairs * found.difference + left * truth
        scaled = (total / np.sqrt(found.variance) - limit * math.sqrt(planned_seeds)) / np.sqrt(
            left
        )
    early = (found.pairs < max(LEAST_SEEDS, planned_seeds / 2)) | (left == 0) | ~np.isfinite(scaled)
    return np.where(early, 1.0, normal_cdf(np.where(early, 0.0, scaled)))


def baseline_seeds(arms: int, seeds: int) -> int:
    """How many seeds the baseline should get where each of so many arms gets seeds."""
    return 2 * seeds if arms >= MANY_BASELINES else seeds


def noise(scores: Scores, baseline: str, controls: Collection[str] = ()) -> Noise:
    """How much runs scatter; NaN where there are not two of them.

    Controls count for sd_seed only.
    """
    table = _table(
        scores[baseline],
        {arm: own for arm, own in scores.items() if arm not in (baseline, *controls)},
    )
    rows = [np.array(list(values.values())) for values in scores.values()]
    return Noise(
        _pooled_sd([row[~np.isnan(row)] for row in table[1:] - table[0]]), _pooled_sd(rows)
    )


def _pooled_sd(rows: Sequence[Array]) -> float:
    df = sum(len(row) - 1 for row in rows if len(row) > 1)
    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in rows if len(row) > 1)
    return math.sqrt(squares / df) if df else math.nan
