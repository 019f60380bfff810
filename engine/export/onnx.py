"""The format onnx: NAME.onnx, by PyTorch's exporter, compared with the model by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.export.compare import compare
from engine.export.task import ExportTask, silenced
from utils.errors import UserError
from utils.files import atomic_write
from utils.text import printable

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram


def export_onnx(task: ExportTask) -> Path:
    """Write NAME.onnx, or NAME_int8.onnx, and compare it with the model by onnxruntime.

    Raises UserError if a package is missing, the operator set cannot be written, or the outputs of
    the file and the model differ.
    """
    path = task.path.with_suffix(".onnx")
    program = trace_onnx(task)
    # The exporter silently falls back where it cannot write an operator set, so check.
    written = program.model.opset_imports[""]
    if task.opset not in (0, written):
        raise UserError(
            f"--opset={task.opset}: PyTorch's exporter writes {written} instead; give that or"
            " nothing"
        )
    program.model.metadata_props.update(task.metadata)
    content = program.model_proto.SerializeToString()
    if task.calibration_data:
        from engine.export.int8 import calibration_images, quantise

        path = path.with_stem(f"{path.stem}_int8")
        images = calibration_images(task, task.calibration_data)
        content = quantise(program.model_proto, images)
    with atomic_write(path) as file:
        file.write(content)
    compare_with_onnxruntime(task, content, False if task.calibration_data else None)
    return path


def trace_onnx(task: ExportTask) -> ONNXProgram:
    """Trace the model of a task into an ONNX graph.

    Raises UserError if a package is missing, or the exporter cannot write the graph.
    """
    axes = {2: "height", 3: "width"} if task.dynamic else {}
    if task.dynamic and task.model.suppression is None:
        axes[0] = "batch"
    try:
        with silenced():
            program = torch.onnx.export(
                task.model,
                (task.images,),
                dynamo=True,
                input_names=["images"],
                output_names=["output0"],
                dynamic_shapes={"images": axes} if axes else None,
                opset_version=task.opset or None,
                verbose=False,
            )
    except ImportError as error:
        raise UserError(
            f"--include onnx: ONNX needs more packages: pip install onnx onnxscript ({error})"
        ) from None
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        reason = printable(str(cause).strip().partition("\n")[0] or type(cause).__name__, 200)
        hint = "leave --dynamic out, or " if task.dynamic else ""
        raise UserError(
            f"--include onnx: PyTorch's exporter cannot write this graph ({reason}); {hint}use"
            " --include torchscript"
        ) from None
    assert program is not None  # only the exporter without dynamo returns None
    return program


def compare_with_onnxruntime(task: ExportTask, content: bytes, exact: bool | None = None) -> None:
    """Print how much onnxruntime's output differs from the model's, if it is installed.

    Args:
        task: The model and an example input.
        content: Content of the ONNX file.
        exact: As in compare() of engine/export/compare.py.

    Raises:
        UserError: The outputs differ by more than rounding.
    """
    try:
        import onnxruntime
    except ImportError:
        print("onnx: not compared with the model; pip install onnxruntime to have that done")
        return
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0])

    compare(task, "onnx", run, exact)
