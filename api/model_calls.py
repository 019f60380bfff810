"""Calls of a YOLO object about its network: names, size, device, callbacks, saving."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch

from api.callbacks import Callback, Callbacks
from api.fused import Network
from api.info import print_rows, row_costs, sizes_of
from api.keywords import device_text
from api.trainer import Trainer
from api.unsupported import UnsupportedCalls
from api.weights import trainable
from engine.inference.settings import USUAL_SIZE
from models.common import Conv
from models.costs.profile import summary
from models.own.adapter import used_files
from utils import checkpoint as checkpoints
from utils.device import select_device
from utils.errors import UserError
from utils.files import make_folder

Self = TypeVar("Self", bound="ModelCalls")


class ModelCalls(UnsupportedCalls):
    """A base class of YOLO.

    Attributes:
        model: the network.
        cfg, weights: the model YAML or the checkpoint, "" if there is none.
        task: "detect", the only one.
        trainer: the last training, as its callbacks get it; None before.
    """

    task = "detect"
    model: Network
    cfg: str
    weights: str
    _trained_at: int  # pixels; 0 if unknown
    _data: str  # path of the data set's YAML
    trainer: Trainer | None = None
    _device = ""  # as --device takes it
    _callbacks: Callbacks

    @property
    def callbacks(self) -> dict[str, list[Callback]]:
        """The functions that train(), val() and predict() call, by moment."""
        return self._callbacks.functions

    def add_callback(self, event: str, func: Callback) -> None:
        """Call a function at a moment of train(), val() or predict(), such as on_fit_epoch_end.

        It gets a Trainer, at on_val_* a Validator, at on_predict_* a Predictor (api/trainer.py).
        """
        self._callbacks.add(event, func)

    def clear_callback(self, event: str) -> None:
        """Remove all functions of a moment."""
        self._callbacks.clear(event)

    def reset_callbacks(self) -> None:
        """Remove all functions."""
        self._callbacks = Callbacks()

    @property
    def names(self) -> dict[int, str]:
        """Class number -> name."""
        return self.model.names

    @property
    def device(self) -> torch.device:
        """Where a call that names no device computes."""
        return select_device(self._device)

    @property
    def ckpt_path(self) -> str | None:
        """The checkpoint that the weights are from; None without."""
        return self.weights or None

    def to(self: Self, device: object) -> Self:
        """Compute on this device where a call names no other: 'cpu', 0, 'cuda:0' …"""
        text = device_text(device)
        select_device(text)
        self._device = text
        return self

    def cpu(self: Self) -> Self:
        """Compute on the processor."""
        return self.to("cpu")

    def cuda(self: Self, device: object = 0) -> Self:
        """Compute on this CUDA device. Raises UserError if there is none of this number."""
        return self.to(device)

    def save(self, filename: str | Path = "saved_model.pt") -> None:
        """Write the weights as they are now, as a checkpoint that YOLO() and the programs read.

        Raises UserError after fuse(), since then the weights no longer fit the graph.
        """
        model = trainable(self.model, "save")
        if any(isinstance(block, Conv) and block.bn is None for block in model.modules()):
            raise UserError(f"save: {filename}: the batch norms are fused; save before fuse()")
        path = Path(filename)
        make_folder(path.parent)
        content = checkpoints.Checkpoint(
            model.graph,
            model.names,
            checkpoints.lean(model.state_dict()),
            {"imgsz": self._trained_at} if self._trained_at else {},
            data=self._data,
            modules=used_files(model),
        )
        checkpoints.save(content, path)

    def info(
        self, detailed: bool = False, verbose: bool = True, imgsz: int = USUAL_SIZE
    ) -> tuple[int, int, int, float]:
        """Count the model's layers, parameters and operations.

        Args:
            detailed: whether to print the rows.
            verbose: whether to print a summary line.
            imgsz: side of the image for which operations are counted, pixels.

        Returns:
            (layers, parameters, gradients, GFLOPs as YOLOv5 and YOLOv8 count them).
        """
        costs = row_costs(model := trainable(self.model, "info"), imgsz)
        if detailed:
            print_rows(model)
        if verbose:
            print(summary(model, Path(self.cfg or self.weights).stem, costs))
        return sizes_of(model, costs)

    def fuse(self: Self) -> Self:
        """Fold batch norms into convolutions; predict() and val() do so themselves, on a copy."""
        trainable(self.model, "fuse").fuse()
        return self
