"""Distances from the centre of a cell to the sides of a box, and how wrong they are.

The losses of anchor-free heads compute with them, in cells of a level. Distributions of distances:
Li et al., "Generalized Focal Loss", NeurIPS 2020, https://arxiv.org/abs/2006.04388.
"""

from __future__ import annotations

import torch
from torch import Tensor

LAST_BIN_MARGIN = 0.01  # cells by which a distance stays below the last bin


def centres_of(level: Tensor) -> Tensor:
    """Map [B, C, rows, columns] -> centres (x, y) of its cells [rows, columns, 2], in cells."""
    y, x = (
        torch.arange(count, dtype=torch.float32, device=level.device) + 0.5
        for count in level.shape[2:]
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), 2)


def expected_distance(logits: Tensor) -> Tensor:
    """Logits [..., bins] of the distances 0, 1, 2 … -> their expectation [...].

    A single value is the distance itself.
    """
    if logits.shape[-1] == 1:
        return logits.squeeze(-1)
    return logits.softmax(-1) @ torch.arange(
        logits.shape[-1], dtype=logits.dtype, device=logits.device
    )


def to_corners(centre: Tensor, distance: Tensor) -> Tensor:
    """Corners [..., 4] from centres [..., 2] and distances [..., 4] to the sides.

    The order of sides is left, upper, right, lower.
    """
    return torch.cat((centre - distance[..., :2], centre + distance[..., 2:]), -1)


def to_distances(centre: Tensor, boxes: Tensor) -> Tensor:
    """Distances [..., 4] of centres [..., 2] to the sides of boxes, corners [..., 4].

    The order of sides is left, upper, right, lower.
    """
    return torch.cat((centre - boxes[..., :2], boxes[..., 2:] - centre), -1)


def distribution_entropy(logits: Tensor, distance: Tensor) -> Tensor:
    """Cross entropy with the two bins next to each distance, weighted by nearness.

    Args:
        logits: [P, 4, bins] of the four sides.
        distance: [P, 4] in cells, clamped to the range of the bins.

    Returns:
        [P] the mean of the four sides.
    """
    # The clamp stays below the last bin, so that each distance has a bin on either side.
    distance = distance.clamp(0, logits.shape[-1] - 1 - LAST_BIN_MARGIN)
    lower = distance.long()
    upper_share = distance - lower
    log = logits.log_softmax(-1)
    low, high = log.gather(-1, torch.stack((lower, lower + 1), -1)).unbind(-1)
    return -(low * (1 - upper_share) + high * upper_share).mean(-1)


def distance_error(found: Tensor, wanted: Tensor, size: Tensor) -> Tensor:
    """Mean absolute error of the four distances, as shares of the image's sides.

    Args:
        found: [P, 4] in cells; left, upper, right, lower.
        wanted: [P, 4] likewise.
        size: [P, 2] (width, height) of the image in the same cells.

    Returns:
        [P].
    """
    return ((found - wanted).abs() / size.repeat(1, 2)).mean(-1)
