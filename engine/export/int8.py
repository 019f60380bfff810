"""ONNX in eight bits: ranges measured on training images, by ONNX Runtime's quantisation.

Only convolutions become integers. Decoding stays in float: its output has boxes of hundreds of
pixels beside scores below 1, which one range of 256 steps cannot hold. For the same reason the last
convolutions of the head are left alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.augment import letterbox
from data.grey import ONE_GREY, grey_image
from data.images import read_image
from data.scanning.load import load_dataset
from engine.export.task import ExportTask, silenced
from utils.errors import UserError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

MOST_IMAGES_READ = 64  # more change the ranges by little, and each costs a run with all its maps


def calibration_images(task: ExportTask, data: str) -> Iterator[np.ndarray]:
    """Batches [B, C, H, W] float32 of a data set's training images, evenly chosen.

    Args:
        task: Its example input gives B, C, H and W.
        data: Data set YAML.

    Raises:
        UserError: The data set cannot be used.
    """
    index = load_dataset(data, "train")
    batch, channels, height, width = task.images.shape
    count = max(min(MOST_IMAGES_READ, len(index)) // batch, 1) * batch
    places = np.linspace(0, len(index) - 1, count).round().astype(int)
    ready: list[np.ndarray] = []
    for place in places:
        pixels, _ = letterbox(read_image(index.path(int(place))), (height, width))
        if channels == ONE_GREY:
            pixels = grey_image(pixels)
        image = pixels[..., ::-1][..., :channels].transpose(2, 0, 1)
        ready.append(np.ascontiguousarray(image, np.float32) / 255)
        if len(ready) == batch:
            yield np.stack(ready)
            ready = []


def quantise(program: ModelProto, batches: Iterator[np.ndarray]) -> bytes:
    """The content of an ONNX file with the convolutions of a float32 graph in eight bits.

    Args:
        program: The graph, whose input is `images`.
        batches: Images by which the ranges of all maps are measured.

    Raises:
        UserError: ONNX Runtime is not installed.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    except ImportError as error:
        raise UserError(
            f"--int8: needs ONNX Runtime: pip install onnx onnxruntime ({error})"
        ) from None

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The batches, as ONNX Runtime asks for them."""

        def get_next(self) -> dict[str, np.ndarray] | None:
            found = next(batches, None)
            return None if found is None else {"images": found}

    kept = last_convolutions(program.graph)
    with tempfile.TemporaryDirectory() as folder, silenced():
        file = Path(folder) / "int8.onnx"
        quantize_static(
            program,
            file,
            Reader(),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=kept,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return file.read_bytes()


def last_convolutions(graph: GraphProto) -> list[str]:
    """Names of the convolutions after which, up to the output, there is no other.

    They give the raw maps of the head.
    """
    makers = {name: node for node in graph.node for name in node.output}
    waiting, seen, found = [value.name for value in graph.output], set[str](), list[str]()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type == "Conv":
            found.append(node.name)
        else:
            waiting += node.input
    return found
