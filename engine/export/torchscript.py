"""The format torchscript: NAME.torchscript, for PyTorch and libtorch without this project."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import torch

from engine.export.compare import compare
from engine.export.task import ExportTask, silenced
from utils.files import atomic_write


def export_torchscript(task: ExportTask) -> Path:
    """Write NAME.torchscript; its metadata is the extra file config.txt, as in YOLOv5."""
    path, buffer = task.path.with_suffix(".torchscript"), io.BytesIO()
    if task.dynamic:
        print("torchscript: --dynamic is for ONNX; this file takes images of the size given only")
    # With --dynamic the example has more images than --batch-size, which this file cannot vary.
    images = task.images[: int(task.metadata["batch"])]
    with silenced(), torch.no_grad():
        # The check would trace the model a second time; the outputs are compared below.
        traced = torch.jit.trace(task.model, images, check_trace=False)
        torch.jit.save(traced, buffer, _extra_files={"config.txt": json.dumps(task.metadata)})
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
    compare(dataclasses.replace(task, images=images, dynamic=False), "torchscript", traced)
    return path
