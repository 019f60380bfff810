"""Heat maps: how much each place of an image adds to a score of the model.

The rows of the graph are run one by one and the maps of some are recorded; formulas.py weights them
by the gradient of the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.explain.formulas import FORMULAS
from engine.explain.targets import Target, row_of, score_of
from models.graph.info import row_info
from models.graph.walk import PROBE, Maps
from models.yolo import DetectionModel
from utils.errors import UserError


@dataclass(frozen=True, slots=True)
class Recorded:
    """One pass through the model.

    Attributes:
        decoded: [1, N, ...] the boxes.
        maps: Row number -> its output [1, C, H, W].
        size: (height, width) of the input in pixels.
    """

    decoded: Tensor
    maps: dict[int, Tensor]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Heat:
    """A heat map of one target.

    Attributes:
        map: [h, w] in 0..1 for the network's input, on the host; all 0 if nothing adds to the
            score.
        score: Confidence of the object, or the sum of the class's confidences.
        target: What was explained.
    """

    map: Tensor
    score: float
    target: Target


def choose_rows(model: DetectionModel, layers: Sequence[str], per: str) -> list[int]:
    """The numbers of the rows whose maps are weighted, ascending.

    Args:
        model: The network.
        layers: "auto", "head", "backbone", or numbers, as --layers takes them.
        per: "object" or "class", by which auto chooses.

    Raises:
        UserError: A number is none of a row before the head.
    """
    last = len(model.model) - 1
    source = row_info(model.model[-1]).source
    heads = sorted({one % last for one in (source if isinstance(source, list) else [source])})
    if layers[0].isdecimal():
        numbers = sorted({int(one) for one in layers})
        if numbers[-1] >= last:
            raise UserError(
                f"--layers {numbers[-1]}: must be a row before the head, which is {last}"
            )
        return numbers
    # An object's score comes from one cell. With anchors, its gradient is zero at all other cells
    # of the maps that the head reads, and spreads only over those of the backbone.
    if layers[0] == "head" or (layers[0] == "auto" and per == "class"):
        return heads
    return backbone_rows(model) or heads


def backbone_rows(model: DetectionModel) -> list[int]:
    """The last row of the backbone at each of the head's strides."""
    length = len(model.graph["backbone"])
    found = {}
    for row, (height, _) in enumerate(model.map_sizes[:length]):
        found[PROBE / height] = row
    return sorted(found[stride] for stride in model.head.strides if stride in found)


def record(model: DetectionModel, x: Tensor, rows: Sequence[int]) -> Recorded:
    """Run the model and keep the maps of some rows.

    Args:
        model: In evaluation mode.
        x: [1, C, h, w] in 0..1.
        rows: Numbers of the rows.
    """
    wanted, maps = set(rows), dict[int, Tensor]()

    def call(row: nn.Module, given: Maps) -> Any:
        out = row(given)
        number = row_info(row).index
        if number in wanted:
            # A copy, since the next row may change its input in place.
            out = maps[number] = out.clone()
        return out

    decoded = model.walk(x, call)[0]
    return Recorded(decoded, maps, (x.shape[2], x.shape[3]))


def record_with_gradient(model: DetectionModel, x: Tensor, rows: Sequence[int]) -> Recorded:
    """record(), with the graph of operations that gradients need."""
    with torch.inference_mode(False), torch.enable_grad():
        return record(model, x.detach().clone().requires_grad_(), rows)


def explain(model: DetectionModel, recorded: Recorded, target: Target, method: str) -> Heat | None:
    """The heat map of a target, or None if the model has no box for it.

    Args:
        model: The network that was recorded.
        recorded: From record_with_gradient().
        target: An object or a class.
        method: A key of FORMULAS.
    """
    row = None
    if target.box is not None:
        row = row_of(recorded.decoded, model.family, target)
        if row is None:
            return None
    score = score_of(recorded.decoded, model.family, target, row)
    return Heat(heat_of(recorded, score, method), float(score.detach()), target)


def heat_of(recorded: Recorded, score: Tensor, method: str) -> Tensor:
    """The map [h, w] in 0..1 of a score, the largest over the recorded rows at each pixel.

    The rows share one scale, so that one that adds little to the score looks weak. Without a
    gradient (EigenCAM) their sizes cannot be compared, and each has its own scale.
    """
    maps = list(recorded.maps.values())
    gradients = torch.autograd.grad(score, maps, retain_graph=True, allow_unused=True)
    formula, levels = FORMULAS[method], []
    for activation, gradient in zip(maps, gradients, strict=True):
        gradient = torch.zeros_like(activation) if gradient is None else gradient
        level = formula(activation[0].detach().float(), gradient[0].float())
        levels.append(scaled(level) if method == "eigencam" else level)
    grown = [
        F.interpolate(level[None, None], recorded.size, mode="bilinear", align_corners=False)[0, 0]
        for level in levels
    ]
    return scaled(torch.stack(grown).amax(0)).cpu()


def scaled(values: Tensor) -> Tensor:
    """Divide by the largest value, unless all are 0."""
    most = values.max()
    return values / most if most > 0 else values
