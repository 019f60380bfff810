"""A fused copy of a model, with which predictions and scores are computed."""

from __future__ import annotations

import copy
import threading

import torch
from torch import Tensor

from engine.detector_model import in_half
from engine.exported.model import ExportedDetector
from models.yolo import DetectionModel
from utils.device import arrange
from utils.errors import UserError

Network = DetectionModel | ExportedDetector


class FusedCopy:
    """Makes a fused copy of a model, and keeps it until the weights or the device change.

    Threads may share it: the first makes the copy while the others wait. A copy is never changed
    afterwards but for its class names, so a thread may go on with one that has been replaced.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._model: DetectionModel | None = None
        self._lock = threading.Lock()

    def of(self, model: Network, device: torch.device, half: bool = False) -> Network:
        """Return a copy for inference on a device: fused, in evaluation mode.

        Its weights are float32, or half precision where that is wanted and faster. An exported file
        is opened on the device instead; it raises UserError for half.
        """
        if isinstance(model, ExportedDetector):
            if half:
                raise UserError(
                    "half: an exported file keeps the precision it was exported with; leave it out"
                )
            return model.on(device)
        # A tensor's version counts its changes in place; its address changes when it is replaced.
        # So a user may train or edit the weights in memory, and the copy follows.
        state = tuple(map(_state, model.state_dict(keep_vars=True).values()))
        key = (model, device, half, state)
        with self._lock:
            if self._model is None or self._key != key:
                self._key, self._model = key, _fused(model, device, half)
            found = self._model
        found.names = model.names
        return found

    def __deepcopy__(self, _: dict[int, object]) -> FusedCopy:
        """Start without a copy, since a lock can neither be copied nor pickled."""
        return FusedCopy()

    def __reduce__(self) -> tuple[type[FusedCopy], tuple[()]]:
        return FusedCopy, ()


def _state(value: Tensor) -> tuple[int, int]:
    """What changes with a tensor's content; PyTorch counts no versions in inference mode."""
    return value.data_ptr(), -1 if value.is_inference() else value._version


def _fused(model: DetectionModel, device: torch.device, half: bool) -> DetectionModel:
    # The first call may be in inference mode, and a later one outside of it.
    with torch.inference_mode(False):
        fused = copy.deepcopy(model).to(device).float().eval().fuse()
        if half:
            in_half(fused, device)
        return arrange(fused, device)
