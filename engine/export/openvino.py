"""The format openvino: the folder NAME_openvino_model, made of the ONNX graph by OpenVINO."""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from engine.export.compare import compare, not_run
from engine.export.onnx import trace_onnx
from engine.export.task import ExportTask
from engine.openvino_core import shared_core
from utils.errors import UserError
from utils.files import atomic_write, make_folder, save_yaml


def export_openvino(task: ExportTask) -> Path:
    """Write NAME_openvino_model/ with NAME.xml, NAME.bin and metadata.yaml.

    It has the names and keys of YOLOv5 and Ultralytics. Raises UserError if a package is missing,
    or the outputs of the files and the model differ.
    """
    try:
        import openvino
    except ImportError:
        raise UserError("--include openvino: needs OpenVINO: pip install openvino") from None
    content = trace_onnx(task).model_proto.SerializeToString()
    core = shared_core()
    model = core.read_model(content, b"")
    folder = make_folder(task.path.with_name(f"{task.path.stem}_openvino_model"))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"{task.path.stem}.xml"
        openvino.save_model(model, file, compress_to_fp16=task.images.dtype == torch.float16)
        for made in (file.with_suffix(".bin"), file):  # the .xml last, without which nobody reads
            with atomic_write(folder / made.name) as target:
                target.write(made.read_bytes())
    save_yaml(folder / "metadata.yaml", _as_yaml(task.metadata))
    # Read back from the folder, so that what is compared is what was written.
    options = {"INFERENCE_PRECISION_HINT": "f32"}

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled([images.cpu().numpy()])[0].copy())

    try:
        compiled = core.compile_model(folder / f"{task.path.stem}.xml", "CPU", options)
        compare(task, "openvino", run)
    except RuntimeError as error:
        raise not_run("openvino", "OpenVINO", error, task) from None
    return folder


def _as_yaml(metadata: dict[str, str]) -> dict[str, object]:
    """The metadata with lists, mappings and numbers in place of their text."""
    texts = ("task", "family")
    return {
        key: value if key in texts else ast.literal_eval(value) for key, value in metadata.items()
    }
