"""A fused copy of a model, with which predictions and scores are computed."""

from __future__ import annotations

import copy

import torch

from models.yolo import DetectionModel


class FusedCopy:
    """Makes a fused copy of a model, and keeps it until the weights or the device change."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._model: DetectionModel | None = None

    def of(self, model: DetectionModel, device: torch.device) -> DetectionModel:
        """Return a copy for inference on a device: float32, fused, in evaluation mode."""
        # A tensor's version counts its changes in place; its address changes when it is replaced.
        # So a user may train or edit the weights in memory, and the copy follows.
        state = tuple(
            (value.data_ptr(), value._version)
            for value in model.state_dict(keep_vars=True).values()
        )
        key = (model, device, state)
        if self._model is None or self._key != key:
            fused = copy.deepcopy(model).to(device).float().eval().fuse()
            if device.type != "mps":
                fused = fused.to(memory_format=torch.channels_last)
            self._key, self._model = key, fused
        self._model.names = model.names
        return self._model
