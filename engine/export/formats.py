"""The table of export formats; each is a file in this folder and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the flags are read by this table, so that it does not import torch
    from engine.export.task import ExportTask


def _onnx(task: ExportTask) -> Path:
    from engine.export.onnx import export_onnx

    return export_onnx(task)


def _torchscript(task: ExportTask) -> Path:
    from engine.export.torchscript import export_torchscript

    return export_torchscript(task)


def _openvino(task: ExportTask) -> Path:
    from engine.export.openvino import export_openvino

    return export_openvino(task)


# name for --include -> function that writes the file and returns its path
EXPORTERS: dict[str, Callable[[ExportTask], Path]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torchscript": _torchscript,
}
CONVERTERS = {  # format that is not written here -> the tool that makes it from our files
    "engine": "trtexec --onnx=FILE.onnx --saveEngine=FILE.engine",
    "saved_model": "onnx2tf -i FILE.onnx",
    "pb": "onnx2tf -i FILE.onnx",
    "tflite": "onnx2tf -i FILE.onnx",
    "edgetpu": "onnx2tf -i FILE.onnx -oiqt, then edgetpu_compiler",
    "tfjs": "onnx2tf, then tensorflowjs_converter",
    "coreml": "coremltools.convert() of FILE.torchscript",
    "ncnn": "pnnx FILE.torchscript",
    "paddle": "x2paddle --framework onnx --model FILE.onnx",
    "mnn": "MNNConvert -f ONNX --modelFile FILE.onnx",
    "rknn": "rknn-toolkit2, which loads FILE.onnx",
}


def unknown_format(name: str) -> str:
    """A remedy for a format that is not in EXPORTERS, as text for an error."""
    known = f"the formats here are {', '.join(sorted(EXPORTERS))}"
    if name in CONVERTERS:
        return f"{known}; convert one of them with {CONVERTERS[name]}"
    return f"no such format; {known}"
