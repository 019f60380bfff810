"""The input of every export format, and a context that silences the exporters."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from engine.export.model import ExportedModel
from utils.seeds import PROCESS_STATE


@dataclass(frozen=True)
class ExportTask:
    """The content and place of an exported file.

    Attributes:
        model: The network with everything that the file computes.
        images: [B, 3, H, W] in 0..1, an example input in the precision of the file.
        path: Path of the checkpoint; a format replaces its suffix.
        metadata: Class names, stride and sizes, to be stored in the file.
        dynamic: Whether the file accepts other image sizes too.
        opset: ONNX operator set, 0 for the exporter's own.
        calibration_data: Data set YAML for integers of eight bits; "" for floats.
    """

    model: ExportedModel
    images: Tensor
    path: Path
    metadata: dict[str, str]
    dynamic: bool = False
    opset: int = 0
    calibration_data: str = ""


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Suppress the exporters' warnings, which are about their own internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with PROCESS_STATE, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
