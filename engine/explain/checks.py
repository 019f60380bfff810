"""Whether a heat map means anything: two tests that it can fail.

- sanity.py randomises the weights. A map that stays the same does not show what was learnt.
- Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
  BMVC 2018, https://arxiv.org/abs/1806.07421, section 4.2: pixels are deleted, those of the highest
  value first. The score must fall faster than for a map that is made of noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.explain.heat import heat_of, record_with_gradient
from engine.explain.sanity import Goal, MapOf, Sanity, compare_networks
from engine.explain.settings import ExplainConfig
from engine.explain.targets import Target, find_targets, row_of, score_of
from models.yolo import DetectionModel

STEPS = 20  # of the deletion
AT_ONCE = 7  # images in a batch
NOISES = 3  # maps of noise
GREY = 114 / 255  # of a deleted pixel, as of the border of an image


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the tests of one map found.

    Attributes:
        name: Of the class that was explained.
        method: A key of engine.explain.settings.METHODS.
        sanity: The map beside those of randomised networks.
        deletion: [STEPS + 1] share of the score left after each step.
        noise: [STEPS + 1] the same by maps of noise, the mean of NOISES.
    """

    name: str
    method: str
    sanity: Sanity
    deletion: np.ndarray
    noise: np.ndarray

    @property
    def areas(self) -> tuple[float, float]:
        """Areas under the two curves of deletion, by the map and by noise."""
        return _area(self.deletion), _area(self.noise)


def _area(curve: np.ndarray) -> float:
    """By the trapezoidal rule, for a side of 1."""
    return float((curve[1:] + curve[:-1]).mean() / 2)


def check_map(
    model: DetectionModel, x: Tensor, rows: Sequence[int], config: ExplainConfig
) -> CheckResult | None:
    """Test the map of the first object or class in an image, or return None if there is none.

    Args:
        model: In evaluation mode; it is not changed.
        x: [1, C, h, w] in 0..1.
        rows: Numbers of the rows whose maps are weighted.
        config: The flags.
    """
    found = first_goal(model, x, config)
    if found is None:
        return None
    goal, boxes = found
    map_of = mapper(rows, config.method)
    heat = map_of(model, x, goal)
    by_map = deletion_curve(model, x, heat, *goal)
    noise = [deletion_curve(model, x, smooth_noise(heat, n), *goal) for n in range(NOISES)]
    name = model.names.get(goal.target.class_id, str(goal.target.class_id))
    sanity = compare_networks(model, x, goal, boxes, map_of)
    return CheckResult(name, config.method, sanity, by_map, np.mean(noise, 0))


def first_goal(
    model: DetectionModel, x: Tensor, config: ExplainConfig
) -> tuple[Goal, list[Tensor]] | None:
    """The first object or class of an image, with its boxes [4] in pixels of x; None without one.

    Args:
        model: In evaluation mode.
        x: [1, C, h, w] in 0..1.
        config: The flags.
    """
    with torch.no_grad():
        decoded = model(x)[0]
    objects = find_targets(decoded, model.family, config.nms(model.family), "object")
    if not objects:
        return None
    best = objects[0]
    same = [best] if config.per == "object" else objects
    boxes = [one.box for one in same if one.class_id == best.class_id and one.box is not None]
    if config.per == "object":
        return Goal(best, row_of(decoded, model.family, best)), boxes
    return Goal(Target(best.class_id), None), boxes


def mapper(rows: Sequence[int], method: str) -> MapOf:
    """A function that computes heat maps of some rows by a method."""

    def map_of(model: DetectionModel, x: Tensor, goal: Goal) -> Tensor:
        recorded = record_with_gradient(model, x, rows)
        score = score_of(recorded.decoded, model.family, goal.target, goal.row)
        return heat_of(recorded, score, method)

    return map_of


def smooth_noise(like: Tensor, seed: int) -> Tensor:
    """A smooth map of noise [h, w], whose blobs are an eighth of the shorter side."""
    height, width = like.shape
    cell = max(1, min(height, width) // 8)
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, height // cell + 1, width // cell + 1, generator=draw)
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0, 0]


def deletion_curve(
    model: DetectionModel, x: Tensor, heat: Tensor, target: Target, row: int | None
) -> np.ndarray:
    """The share of the score that is left after each of STEPS deletions, [STEPS + 1].

    Args:
        model: In evaluation mode.
        x: [1, C, h, w] in 0..1.
        heat: [h, w], whose highest values are deleted first.
        target: Whose score is measured.
        row: The object's box, or None for a class.
    """
    order = heat.flatten().argsort(descending=True, stable=True).to(x.device)
    images = x.flatten(2).repeat(STEPS + 1, 1, 1)
    for step in range(STEPS + 1):
        images[step, :, order[: len(order) * step // STEPS]] = GREY
    scores = list[float]()
    with torch.no_grad():
        for part in images.unflatten(2, x.shape[2:]).split(AT_ONCE):
            decoded = model(part)[0]
            scores += [float(score_of(one[None], model.family, target, row)) for one in decoded]
    return np.array(scores) / max(scores[0], 1e-12)
