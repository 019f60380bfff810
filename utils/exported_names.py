"""Exported files by the ends of their names: those that are run here, and what runs the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

RUN_HERE = (".onnx", ".torchscript", "_openvino_model", ".xml")  # by engine/exported/load.py
ELSEWHERE = {  # end of the name -> what runs it
    ".engine": "TensorRT, on the kind of GPU that it was built for",
    ".mlpackage": "Core ML, on a Mac",
    ".mlmodel": "Core ML, on a Mac",
    "_edgetpu.tflite": "pycoral and an Edge TPU",
    ".tflite": "LiteRT (ai-edge-litert)",
    ".pb": "TensorFlow",
    "_saved_model": "TensorFlow",
    "_web_model": "TensorFlow.js, in a browser",
    "_paddle_model": "PaddlePaddle",
    ".pdmodel": "PaddlePaddle",
    "_ncnn_model": "ncnn",
    ".mnn": "MNN",
    ".rknn": "rknn-toolkit-lite2 and a Rockchip NPU",
    "_rknn_model": "rknn-toolkit-lite2 and a Rockchip NPU",
    "_imx_model": "Sony's IMX500 converter and camera",
    ".pte": "ExecuTorch",
}


def is_exported(path: str | Path) -> bool:
    """Whether a path names an exported file, of a kind that is run here or not."""
    return bool(end_of(path, (*RUN_HERE, *ELSEWHERE)))


def end_of(path: str | Path, ends: Iterable[str]) -> str:
    """The first of several ends that the name of a path has before them, or ""."""
    name = Path(path).name.lower()
    return next((end for end in ends if name.endswith(end) and name != end), "")
