"""The format onnx: NAME.onnx, by PyTorch's exporter, compared with the model by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.export.compare import compare, not_run
from engine.export.task import ExportTask, silenced
from engine.exported.onnx import onnx_faults
from utils.errors import UserError
from utils.files import atomic_write
from utils.text import printable

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

TRACED_CELLS = 16  # per side of the coarsest map: two windows of the usual 7 or 8


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
    axes, images = {}, task.images
    if task.dynamic:
        axes, images = {2: "height", 3: "width"}, traced_images(task)
        if task.model.suppression is None:
            axes[0] = "batch"
    try:
        with silenced():
            program = torch.onnx.export(
                task.model,
                (images,),
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


def traced_images(task: ExportTask) -> Tensor:
    """The example by which a graph for any size is traced, with maps of at least TRACED_CELLS.

    A tracer takes a length of 1 for a constant, such as the number of windows in a small map, and
    the file would then compute other sizes wrongly.
    """
    least = TRACED_CELLS * int(task.metadata["stride"])
    height, width = (max(side, least) for side in task.images.shape[2:])
    return task.images.new_zeros(*task.images.shape[:2], height, width)


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
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised too, and the message below has them
    providers = ["CPUExecutionProvider"]

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0])

    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
        compare(task, "onnx", run, exact)
    except onnx_faults() as error:
        raise not_run("onnx", "ONNX Runtime", error, task) from None
