"""Whether a heat map means anything: two tests that it can fail.

- Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps", NeurIPS
  2018, https://arxiv.org/abs/1810.03292, section 3.1: weights are randomised from the last row to
  the first. A map that stays the same does not show what the network has learnt.
- Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
  BMVC 2018, https://arxiv.org/abs/1806.07421, section 4.2: pixels are deleted, those of the highest
  value first. The score must fall faster than for a map that is made of noise.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.explain.heat import Recorded, heat_of, record_with_gradient
from engine.explain.settings import ExplainConfig
from engine.explain.targets import Target, find_targets, row_of, score_of
from models.yolo import DetectionModel

STAGES = 6  # of the randomisation
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
        randomised: Numbers of rows whose weights were randomised, counted from the last row.
        correlations: Spearman's rank correlation of the map with the original one for each of them.
        deletion: [STEPS + 1] share of the score left after each step.
        noise: [STEPS + 1] the same by maps of noise, the mean of NOISES.
    """

    name: str
    method: str
    randomised: list[int]
    correlations: list[float]
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
    recorded = record_with_gradient(model, x, rows)
    found = find_targets(recorded.decoded, model.family, config.nms(model.family), config.per)
    if not found:
        return None
    target = found[0]
    row = None if target.box is None else row_of(recorded.decoded, model.family, target)
    heat = _heat(model, recorded, target, row, config.method)
    counts = sorted({round(len(model.model) * (n + 1) / STAGES) for n in range(STAGES)})
    correlations = []
    for count in counts:
        other = randomised(model, count)
        maps = record_with_gradient(other, x, rows)
        changed = _heat(other, maps, target, row, config.method)
        correlations.append(rank_correlation(heat, changed))
    by_map = deletion_curve(model, x, heat, target, row)
    noise = [deletion_curve(model, x, smooth_noise(heat, n), target, row) for n in range(NOISES)]
    name = model.names.get(target.class_id, str(target.class_id))
    mean = np.mean(noise, 0)
    return CheckResult(name, config.method, counts, correlations, by_map, mean)


def _heat(
    model: DetectionModel, recorded: Recorded, target: Target, row: int | None, method: str
) -> Tensor:
    return heat_of(recorded, score_of(recorded.decoded, model.family, target, row), method)


def randomised(model: DetectionModel, count: int, seed: int = 0) -> DetectionModel:
    """A copy whose last `count` rows have random weights.

    Each tensor is drawn from the normal distribution of its own mean and standard deviation. Equal
    seeds draw equal weights for equal rows, so that larger counts go on where smaller ones end.
    """
    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    for row in list(other.model)[::-1][:count]:
        for weight in row.parameters():
            values = torch.randn(weight.shape, generator=draw).to(weight)
            spread = weight.std() if weight.numel() > 1 else weight.abs()
            with torch.no_grad():
                weight.copy_(values * spread + weight.mean())
    return other


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation of two maps; equal values share their mean rank.

    It is 0 if a map is constant, since such a map orders nothing.
    """
    import pandas as pd

    ranks = [pd.Series(values.flatten().numpy()).rank().to_numpy() for values in (one, other)]
    if any(rank.std() == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


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
