"""What an export format is given, and the silence in which exporters run."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from engine.export.model import ExportedModel


@dataclass(frozen=True)
class ExportTask:
    """What a file is written from.

    model: the network with everything that the file computes. images: [B, 3, H, W] in 0..1, an
    example input in the precision of the file. path: of the checkpoint; a format replaces its
    suffix. metadata: class names, stride and sizes, for the file. dynamic: whether the file takes
    other sizes of images too. opset: ONNX operator set, 0 for the exporter's own.
    """

    model: ExportedModel
    images: Tensor
    path: Path
    metadata: dict[str, str]
    dynamic: bool = False
    opset: int = 0


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Suppress the exporters' warnings, which are about their own internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
