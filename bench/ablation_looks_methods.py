"""Ways to look at a study several times, which bench/ablation_looks.py compares.

All take scores [draws, 1 + arms, seeds], the baseline first, with as many seeds as the last look,
or more for the baseline. They return a course of ablation/statistics/sequential.py.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ablation.statistics.dunnett import Array, normal_cdf
from ablation.statistics.planning import baseline_seeds
from ablation.statistics.sequential import (
    ALPHA,
    Course,
    Plan,
    Spending,
    begin,
    error_shares,
    obrien_fleming,
    take_look,
)

NODES = 201  # of the integral over the scores between two looks
MIXTURE = 4.0  # variance of the effects of the t-mixture, in variances of a paired difference


def pocock(part: float) -> float:
    """Share of the error spent at a part of the seeds, nearly the same at each look."""
    return math.log(1 + (math.e - 1) * part)


def power_family(part: float) -> float:
    """Share of the error spent by the power family of Kim and DeMets, with the power 1.5."""
    return part**1.5


def joint_shares(looks: tuple[int, ...], spending: Spending = obrien_fleming) -> tuple[float, ...]:
    """Levels of each look, in shares of ALPHA, from the joint normal distribution of one arm.

    These are the usual boundaries of group-sequential trials: repeated integration over the scores
    of the studies that go on (Armitage, McPherson and Rowe, 1969). They add up to more than 1,
    since a look that finds something often follows one that nearly did.

    Args:
        looks: seeds at each look.
        spending: share of the error that is spent by a part of the seeds.
    """
    steps = np.diff([0.0, *(spending(seeds / looks[-1]) for seeds in looks)])
    x, weights, before = np.zeros(1), np.ones(1), 0
    shares: list[float] = []
    for seeds, step in zip(looks, steps, strict=True):
        spread = math.sqrt(seeds - before)
        low, high = 0.0, 12 * math.sqrt(seeds)
        for _ in range(60):
            middle = (low + high) / 2
            outside = normal_cdf((-middle - x) / spread) + normal_cdf((x - middle) / spread)
            low, high = (middle, high) if weights @ outside > ALPHA * step else (low, middle)
        tail = normal_cdf(np.array([-high / math.sqrt(seeds)]))[0]
        shares.append(float(2 * tail / ALPHA))
        nodes, node_weights = np.polynomial.legendre.leggauss(NODES)
        y = high * nodes
        density = np.exp(-(((y[:, None] - x) / spread) ** 2) / 2) @ weights
        x, before = y, seeds
        weights = density * node_weights * high / (spread * math.sqrt(2 * math.pi))
    return tuple(shares)


def make_shares(method: str, looks: tuple[int, ...]) -> tuple[float, ...]:
    """The share of the error that a method gives to each look."""
    if method == "5 % at each look":
        return (1.0,) * len(looks)
    if method == "joint normal":
        return joint_shares(looks)
    return error_shares(looks, SPENDING[method])


SPENDING: dict[str, Spending] = {
    "O'Brien-Fleming": obrien_fleming,
    "power 1.5": power_family,
    "Pocock": pocock,
}
METHODS = ("5 % at each look", *SPENDING, "joint normal", "t-mixture")


def play(scores: Array, plan: Plan, delta: float) -> Course:
    """The course of studies that take all looks of a plan."""
    course = begin(plan, scores.shape[1] - 1, scores.shape[:1])
    for look in range(len(plan.looks)):
        course = take_look(scores, plan, course, look, delta)
    return course


def follow(method: str, scores: Array, looks: tuple[int, ...], delta: float) -> Course:
    """The course of studies under one of METHODS, without dropped arms.

    Args:
        method: its name.
        scores: [draws, 1 + arms, seeds].
        looks: seeds at each look.
        delta: smallest difference of interest.
    """
    baselines = baseline_seeds(scores.shape[1] - 1, 1)
    if method == "t-mixture":
        return _mixture(scores, Plan(looks, (), baselines))
    return play(scores, Plan(looks, make_shares(method, looks), baselines), delta)


def _mixture(scores: Array, plan: Plan) -> Course:
    """A test that is valid at any time: each arm's t against a mixture of effects.

    The Bayes factor of normal effects against none, with the right Haar measure for the unknown
    variance, is an e-process: it ever reaches arms / ALPHA with probability at most ALPHA / arms.
    """
    gaps = scores[:, 1:] - scores[:, :1]
    course = begin(plan, gaps.shape[1], gaps.shape[:1])
    for look, n in enumerate(plan.looks):
        own = gaps[..., :n]
        squared = own.mean(-1) ** 2 * n / own.var(-1, ddof=1)
        grown = 1 + n * MIXTURE
        ratio = (1 + squared / (n - 1)) / (1 + squared / ((n - 1) * grown))
        sure = (course.ended < 0) & (ratio ** (n / 2) / math.sqrt(grown) >= gaps.shape[1] / ALPHA)
        is_open = (course.ended < 0) & ~sure
        signs = np.where(sure, np.sign(own.mean(-1)), course.signs).astype(int)
        course = dataclasses.replace(course, signs=signs, ended=np.where(sure, look, course.ended))
        if n != plan.looks[-1]:
            seeds = np.where(is_open, plan.looks[look + 1], course.seeds)
            baseline = np.where(is_open.any(-1), plan.baselines * seeds.max(-1), course.baseline)
            course = dataclasses.replace(course, seeds=seeds, baseline=baseline)
    return course
