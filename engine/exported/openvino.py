"""OpenVINO models, a folder or its .xml, run by OpenVINO."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from engine.exported.runtime import Runtime, as_shape
from engine.openvino_core import shared_core
from utils.errors import UserError
from utils.text import printable
from utils.yaml_file import load_yaml

DTYPES = {"f32": torch.float32, "f16": torch.float16}
METADATA = "metadata.yaml"


def open_openvino(path: Path, device: torch.device) -> Runtime:
    """Open an OpenVINO model.

    Raises UserError if OpenVINO is not installed, or the folder has not one model in it.
    """
    try:
        core = shared_core()
    except ImportError:
        raise UserError(f"{path}: an OpenVINO model needs OpenVINO: pip install openvino") from None
    file = model_file(path)
    # A processor with AMX would compute in bfloat16, whose boxes differ from the checkpoint's.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    if device.type == "cpu":
        options["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
    try:
        model = core.read_model(file)
        compiled = core.compile_model(model, "GPU" if device.type == "xpu" else "CPU", options)
    except RuntimeError as error:
        raise _fault(file, error, "cannot be opened") from None
    entry = compiled.inputs[0]
    kind = entry.element_type.get_type_name()
    if len(compiled.inputs) != 1 or kind not in DTYPES:
        raise UserError(f"{path}: does not take images alone; give a detector's model")

    def run(images: Tensor) -> Tensor:
        try:
            found = compiled([images.contiguous().cpu().numpy()])
        except RuntimeError as error:
            raise _fault(file, error, "cannot be run") from None
        return torch.from_numpy(found[0].copy())  # the next call reuses the memory

    sides = [None if side.is_dynamic else side.get_length() for side in entry.partial_shape]
    return Runtime(str(path), read_metadata(file), as_shape(sides), DTYPES[kind], run)


def model_file(path: Path) -> Path:
    """The .xml of a model's folder, or of itself. Raises UserError unless there is just one."""
    found = [path] if path.suffix == ".xml" else sorted(path.glob("*.xml"))
    if len(found) != 1 or not found[0].is_file():
        raise UserError(
            f"{path}: has {len(found)} .xml files, where an OpenVINO model has one; give the .xml"
        )
    return found[0]


def read_metadata(file: Path) -> dict[str, object]:
    """What is written beside the .xml: metadata.yaml, or YOLOv5's NAME.yaml; {} without it."""
    beside = (file.with_name(METADATA), file.with_suffix(".yaml"))
    found = next((one for one in beside if one.is_file()), None)
    return dict(load_yaml(found)) if found else {}


def _fault(path: Path, error: RuntimeError, what: str) -> UserError:
    lines = [line for line in str(error).splitlines() if line.strip() and "src/" not in line]
    reason = printable(lines[-1].strip() if lines else "no reason given", 200)
    return UserError(f"{path}: {what} by OpenVINO ({reason}); export it again")
