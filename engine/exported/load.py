"""Open an exported file of any kind that is run here, as a detector."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from engine.detector_model import DetectorModel
from engine.exported.model import ExportedDetector
from engine.exported.onnx import open_onnx
from engine.exported.openvino import open_openvino
from engine.exported.runtime import Runtime
from engine.exported.torchscript import open_torchscript
from models.weights.ensemble import load_models
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.exported_names import ELSEWHERE, end_of, is_exported
from utils.files import find_file

OPENERS: dict[str, Callable[[Path, torch.device], Runtime]] = {  # end of the name, as in RUN_HERE
    ".onnx": open_onnx,
    ".torchscript": open_torchscript,
    "_openvino_model": open_openvino,
    ".xml": open_openvino,
}


def load_exported(path: str | Path, device: torch.device) -> ExportedDetector:
    """Open an exported file as a detector.

    Raises UserError if it is missing, damaged, no detector's, or of a kind that is not run here.
    """
    if other := end_of(path, ELSEWHERE):
        raise UserError(
            f"{path}: needs {ELSEWHERE[other]}, which this program does not call; give the"
            " checkpoint, or export it to onnx, torchscript or openvino"
        )
    place = Path(path) if Path(path).is_dir() else find_file(path)
    opener = OPENERS[end_of(path, OPENERS)]
    return ExportedDetector(functools.partial(opener, place), device)


def load_detector(
    files: Sequence[str],
    device: torch.device,
    attention: Sequence[str] = (),
    attention_init: str = "",
    first: Checkpoint | None = None,
) -> DetectorModel:
    """Load one exported file, or what load_models() of models/weights/ensemble.py does.

    The arguments are those of load_models(). Raises UserError if an exported file is one of
    several, or is to be changed.
    """
    exported = next((file for file in files if is_exported(file)), None)
    if exported is None:
        return load_models(files, device, attention, attention_init, first)
    if len(files) > 1:
        raise UserError(f"--weights {exported}: an ensemble takes checkpoints; give it alone")
    if attention:
        raise UserError(
            f"--attention: {exported} is an exported file, whose graph cannot be changed; give the"
            " checkpoint"
        )
    return load_exported(exported, device)


def can_halve(files: Sequence[str | Path]) -> bool:
    """Whether --half has an effect on files: an exported one keeps its own, as it says."""
    if not any(map(is_exported, files)):
        return True
    print("--half: an exported file keeps the precision it was exported with")
    return False
