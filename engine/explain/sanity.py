"""Whether a heat map depends on what was learnt: the maps of randomised networks beside it.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018,
https://arxiv.org/abs/1810.03292, section 3.1: weights are randomised from the last row to the
first. A map that stays the same does not show what the network has learnt.

How much is "the same"? The map of an object lies around the object's cell in any network, so that
place alone makes two maps alike. Hence two references are measured with the same image, and a map
that depends on no weight fails both:

- Maps of random networks among each other: what place, image and graph have in common. The map is
  set apart if it is less like them than each of them is like the others. For a network that is no
  different from them, the chance of that is about 1 / (NETWORKS + 1).
- The map of the mirrored image, mirrored back: nothing that was learnt has changed. The map is
  changed by weights if every random network changes it more than that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.explain.targets import Target, row_of
from models.yolo import DetectionModel

STAGES = 6  # of the cascade
NETWORKS = 9  # of random weights alone
WINDOW, SIGMA = 11, 1.5  # pixels, of SSIM
STABLE = (0.01**2, 0.03**2)  # constants of SSIM for values in 0..1


class Goal(NamedTuple):
    """What is explained: a target, and the number of its decoded box, None for a class."""

    target: Target
    row: int | None


MapOf = Callable[[DetectionModel, Tensor, Goal], Tensor]  # network, x [1, C, h, w] -> [h, w]


class Likeness(NamedTuple):
    """How much two maps are alike.

    Attributes:
        rank: Spearman's rank correlation of all pixels, -1 to 1.
        inside: The same within the boxes of the objects.
        ssim: Structural similarity, -1 to 1.
    """

    rank: float
    inside: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Sanity:
    """How much a map is like those of other networks.

    Attributes:
        counts: Numbers of rows whose weights were randomised, counted from the last row.
        cascade: The map with each of them.
        mirrored: With that of the mirrored image; None if no box of the object is found there.
        random: With those of NETWORKS networks whose weights are all random.
        peers: Each of these networks with the others, the mean.
    """

    counts: list[int]
    cascade: list[Likeness]
    mirrored: Likeness | None
    random: list[Likeness]
    peers: list[Likeness]

    @property
    def is_apart(self) -> bool:
        """Whether it is less like random networks than each of these is like the others.

        Here and below, rank correlations are compared in the two decimals that are printed.
        """
        own = round(mean_likeness(self.random).rank, 2)
        return own < min(round(one.rank, 2) for one in self.peers)

    @property
    def is_changed(self) -> bool:
        """Whether every random network changes the map more than mirroring the image does."""
        if self.mirrored is None:
            return False
        return max(round(one.rank, 2) for one in self.random) < round(self.mirrored.rank, 2)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A map [h, w] with the ranks of all its pixels and of those within the boxes."""

    heat: Tensor
    ranks: np.ndarray
    within: np.ndarray


def compare_networks(
    model: DetectionModel, x: Tensor, goal: Goal, boxes: Sequence[Tensor], map_of: MapOf
) -> Sanity:
    """Compare the map of a network with those of randomised ones, and of the mirrored image.

    Args:
        model: In evaluation mode; it is not changed.
        x: [1, C, h, w] in 0..1.
        goal: What is explained. Random networks explain the same decoded box.
        boxes: [4] xyxy each, in pixels of x, within which maps are compared too.
        map_of: Computes the map, in 0..1 on the host.
    """
    inside = _region(boxes, (x.shape[2], x.shape[3]))

    def ranked(network: DetectionModel) -> _Ranked:
        return _rank(map_of(network, x, goal), inside)

    everything = len(model.model)
    counts = sorted({round(everything * (n + 1) / STAGES) for n in range(STAGES)})
    own = ranked(model)
    cascade = [ranked(randomised(model, count)) for count in counts]
    random = cascade[-1:]
    random += [ranked(randomised(model, everything, seed)) for seed in range(1, NETWORKS)]
    other = mirrored_goal(model, x, goal)
    mirrored = None
    if other is not None:
        mirrored = likeness(own, _rank(map_of(model, x.flip(3), other).flip(1), inside))
    return Sanity(
        counts,
        [likeness(own, one) for one in cascade],
        mirrored,
        [likeness(own, one) for one in random],
        [mean_likeness([likeness(one, two) for two in random if two is not one]) for one in random],
    )


def _peers(maps: Sequence[_Ranked]) -> list[Likeness]:
    """Each of several maps with the others, the mean."""
    pairs = {
        frozenset(pair): likeness(maps[pair[0]], maps[pair[1]])
        for pair in combinations(range(len(maps)), 2)
    }
    return [
        mean_likeness([value for pair, value in pairs.items() if number in pair])
        for number in range(len(maps))
    ]


def _rank(heat: Tensor, inside: Tensor) -> _Ranked:
    return _Ranked(heat, ranks_of(heat), ranks_of(heat[inside]))


def mirrored_goal(model: DetectionModel, x: Tensor, goal: Goal) -> Goal | None:
    """The same goal in the mirrored image, or None if the model has no box of the object there."""
    if goal.target.box is None:
        return goal
    x1, y1, x2, y2 = goal.target.box
    width = x.shape[3]
    target = Target(goal.target.class_id, torch.stack((width - x2, y1, width - x1, y2)))
    with torch.no_grad():
        decoded = model(x.flip(3))[0]
    row = row_of(decoded, model.family, target)
    return None if row is None else Goal(target, row)


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


def edges_of(_: DetectionModel, x: Tensor, goal: Goal) -> Tensor:
    """A map that must fail: the size of the image's brightness gradient, which no weight changes.

    [1, C, h, w] -> [h, w] in 0..1. The goal has no effect either.
    """
    grey = F.pad(x.mean(1), (1, 1, 1, 1), mode="replicate")[0]
    across, down = grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]
    size: Tensor = (across.square() + down.square()).sqrt()
    return (size / size.max().clamp(min=1e-12)).cpu()


def _region(boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """The pixels [h, w] within any of the boxes."""
    inside = torch.zeros(size, dtype=torch.bool)
    for box in boxes:
        x1, y1, x2, y2 = (max(0, int(side)) for side in box.round())
        inside[y1:y2, x1:x2] = True
    return inside


def likeness(one: _Ranked, other: _Ranked) -> Likeness:
    """Compare two maps."""
    return Likeness(
        correlation(one.ranks, other.ranks),
        correlation(one.within, other.within),
        structural_similarity(one.heat, other.heat),
    )


def mean_likeness(found: Sequence[Likeness]) -> Likeness:
    """The mean of each measure."""
    return Likeness(*(float(value) for value in np.mean(found, 0)))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two lists of ranks, which is Spearman's rank correlation.

    It is 0 if a list is constant, since such a map orders nothing.
    """
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def ranks_of(values: Tensor) -> np.ndarray:
    """The ranks of all values, from 1; equal values share their mean rank."""
    _, place, counts = np.unique(values.numpy(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place.reshape(-1)])


def structural_similarity(one: Tensor, other: Tensor) -> float:
    """The mean SSIM of two maps [h, w] in 0..1.

    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", IEEE TIP 2004, equation 13, with its window of 11 x 11 and sigma 1.5.
    """
    import cv2

    def blur(values: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA))

    a, b = one.double().numpy(), other.double().numpy()
    mean_a, mean_b = blur(a), blur(b)
    spread = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    shared = blur(a * b) - mean_a * mean_b
    level = (2 * mean_a * mean_b + STABLE[0]) / (mean_a**2 + mean_b**2 + STABLE[0])
    return float((level * (2 * shared + STABLE[1]) / (spread + STABLE[1])).mean())
