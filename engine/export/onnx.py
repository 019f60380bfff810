"""The format onnx: NAME.onnx, by PyTorch's exporter, compared with the model by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine.export.task import ExportTask, silenced
from utils.errors import UserError
from utils.files import atomic_write

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

# The largest allowed difference of onnxruntime's output, absolute for values up to 1 and relative
# above; ten times what rounding in float32 explains.
MOST_DIFFERENCE = 1e-3


def export_onnx(task: ExportTask) -> Path:
    """Write NAME.onnx, and compare it with the model where onnxruntime is installed.

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
    with atomic_write(path) as file:
        file.write(content)
    compare_with_onnxruntime(task, content)
    return path


def trace_onnx(task: ExportTask) -> ONNXProgram:
    """Trace the model of a task into an ONNX graph."""
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
    assert program is not None  # only the exporter without dynamo returns None
    return program


def compare_with_onnxruntime(task: ExportTask, content: bytes) -> None:
    """Print how much onnxruntime's output differs from the model's.

    A difference beyond rounding is an error, except with half precision or suppression, where a
    rounded score may swap boxes.

    Args:
        task: The model and an example input.
        content: Content of the ONNX file.

    Raises:
        UserError: The outputs differ by more than rounding.
    """
    try:
        import onnxruntime
    except ImportError:
        print("onnx: not compared with the model; pip install onnxruntime to have that done")
        return
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    # The input is noise, since many errors would not show on an image of zeros.
    images = torch.rand(task.images.shape, generator=torch.Generator().manual_seed(0))
    images = images.to(task.images)
    theirs = torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0]).float()
    with torch.inference_mode():
        ours = task.model(images).float().cpu()
    suppresses = task.model.suppression is not None
    if suppresses and not ours.any() and not theirs.any():
        print(
            "onnx: not compared with the model: neither finds anything in noise; a lower"
            " --conf-thres would"
        )
        return
    worst = float(((theirs - ours).abs() / ours.abs().clamp(min=1)).max())
    print(f"onnx: differs from the model by {worst:.1e} at most, relative to values above 1")
    exact = images.dtype == torch.float32 and not suppresses
    if exact and not worst <= MOST_DIFFERENCE:  # written so that NaN is an error too
        raise UserError(
            f"onnx: the file's output differs by {worst:.1e}; please report the graph, and use"
            " torchscript"
        )
