"""ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.exported.runtime import Runtime, as_shape
from utils.errors import UserError
from utils.text import printable

if TYPE_CHECKING:
    import onnxruntime

DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
FAULTS = (  # the names of ONNX Runtime's errors, whose only common class is Exception
    "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
    "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException",
)  # fmt: skip


def open_onnx(path: Path, device: torch.device) -> Runtime:
    """Open an ONNX file.

    Raises UserError if ONNX Runtime is not installed, or the file is damaged or no image model.
    """
    try:
        faults = onnx_faults()
    except ImportError:
        raise UserError(
            f"{path}: an ONNX file needs ONNX Runtime: pip install onnxruntime (onnxruntime-gpu for"
            " CUDA)"
        ) from None
    try:
        session = open_session(path, device)
    except faults as error:
        raise _fault(path, error, "cannot be opened") from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in DTYPES:
        raise UserError(f"{path}: does not take images alone; give a detector's file")

    def run(images: Tensor) -> Tensor:
        try:
            found = session.run(None, {inputs[0].name: images.contiguous().cpu().numpy()})
        except faults as error:
            raise _fault(path, error, "cannot be run") from None
        return torch.from_numpy(found[0])

    metadata = session.get_modelmeta().custom_metadata_map
    return Runtime(str(path), metadata, as_shape(inputs[0].shape), DTYPES[inputs[0].type], run)


def onnx_faults() -> tuple[type[Exception], ...]:
    """The errors of ONNX Runtime. Raises ImportError if it is not installed."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (*(getattr(state, name) for name in FAULTS if hasattr(state, name)), ValueError)


def open_session(source: Path | bytes, device: torch.device) -> onnxruntime.InferenceSession:
    """A session for a file or its content, with as many threads as PyTorch has.

    On a CUDA device it computes there if this ONNX Runtime can, which is said otherwise.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # warnings are about its own optimisations
    providers: list[object] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        else:
            print("onnx: computing on the processor; pip install onnxruntime-gpu for CUDA")
    content = source if isinstance(source, bytes) else str(source)
    return onnxruntime.InferenceSession(content, options, providers=providers)


def _fault(path: Path, error: Exception, what: str) -> UserError:
    reason = printable(str(error).partition("\n")[0], 200)
    return UserError(f"{path}: {what} by ONNX Runtime ({reason}); export it again")
