"""torchvision's operator for non-maximum suppression, loaded without the package around it.

The package takes one to two seconds to import, and its library a hundredth of one.
"""

from __future__ import annotations

import contextlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

LIBRARIES = ("_C_stable.so", "_C.so")  # since torchvision 0.29, and before


@cache
def load_operator() -> None:
    """Make the operator known to torch, so that no image's time includes that."""
    found = find_spec("torchvision")
    folders = (found.submodule_search_locations or ()) if found else ()
    for path in (Path(folder) / name for folder in folders for name in LIBRARIES):
        if path.is_file():
            # A library that does not fit this torch has the package say why.
            with contextlib.suppress(OSError):
                torch.ops.load_library(path)
                break
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision.ops  # noqa: F401


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Indices of the boxes that greedy suppression keeps, best first.

    Args:
        boxes: [N, 4] corners.
        scores: [N].
        iou: A box is dropped if its IoU with a better one is above this.
    """
    load_operator()
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores, iou)
    return kept
