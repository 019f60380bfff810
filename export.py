"""Write a trained detector into a file for other programs: ONNX, TorchScript or OpenVINO.

    python export.py --weights runs/train/exp/weights/best.pt --include onnx torchscript
    python export.py --weights runs/train/exp/weights/best.pt --save-upstream

The input `images` is [B, 3, H, W], RGB in 0..1. The output `output0` is one of

- with anchors, as in YOLOv5: [B, N, 5 + nc], rows of x, y, w, h in pixels, objectness, class scores
- without anchors, as in YOLOv8: [B, 4 + nc, N], columns of x, y, w, h in pixels, class scores
- with --nms: [B, max_det, 6], rows of x1, y1, x2, y2 in pixels, confidence, class, then rows of
  zeros after the last detection

The files also hold class names and stride. --save-upstream writes the weights under the keys that
YOLOv5 and YOLOv8 use for the same graph. engine/export has a file for each format.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.export.settings import EXPORT_LINE
    from utils.opening import open_program

    open_program(EXPORT_LINE)

import torch

from engine.export.formats import EXPORTERS
from engine.export.model import ExportedModel
from engine.export.settings import EXPORT_LINE, ExportConfig
from engine.export.task import ExportTask
from engine.export.upstream import save_upstream
from models.graph.own_files import use_modules
from models.weights.load import load_model, newest_best
from models.yolo import DetectionModel
from utils.cli import build
from utils.device import select_device
from utils.errors import run_main
from utils.sizes import side_step, whole_side


def export(model: DetectionModel, config: ExportConfig, path: str | Path) -> list[Path]:
    """Write a model in all formats of the flags.

    Args:
        model: The detector, which is not changed.
        config: The flags; weights and save_upstream are not read.
        path: Path of the checkpoint; the files are written beside it, with their own suffixes.

    Returns:
        The paths of the files.

    Raises:
        UserError: A package is missing, or a format cannot be written.
    """
    task = make_task(model, config, Path(path))
    with torch.no_grad():
        # A faulty model fails here with a clear cause, instead of inside an exporter.
        task.model(task.images)
    files = [EXPORTERS[name](task) for name in dict.fromkeys(config.include)]
    for file in files:
        print(f"{file}: {size_mb(file):.1f} MB")
    return files


def size_mb(path: Path) -> float:
    """Megabytes of a file, or of the files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


def make_task(model: DetectionModel, config: ExportConfig, path: Path) -> ExportTask:
    """Prepare the network and its example input, from which all formats are written.

    Args:
        model: The detector, which is not changed.
        config: The flags.
        path: Path of the checkpoint.
    """
    stride = side_step(model.stride)
    height, width = (whole_side(side, stride) for side in (config.imgsz[0], config.imgsz[-1]))
    if (height, width) != (config.imgsz[0], config.imgsz[-1]):
        print(
            f"--imgsz {'x'.join(map(str, config.imgsz))} is not a multiple of the stride {stride}:"
            f" taking {height}x{width}"
        )
    device = select_device(config.device or "cpu")
    suppression = config.suppression(model.family) if config.nms else None
    exported = ExportedModel(model, suppression).to(device)
    # Suppression runs image by image, so with it the file fixes their number. Otherwise the example
    # has at least two images, since the tracer would treat a batch size of 1 as a constant.
    any_batch = config.dynamic and not config.nms
    batch = max(config.batch_size, 2) if any_batch else config.batch_size
    images = torch.zeros(batch, model.channels, height, width, device=device)
    if config.half:
        exported, images = exported.half(), images.half()
    metadata = {
        "stride": str(int(model.stride.max())),
        "names": str(dict(model.names)),
        "task": "detect",
        "imgsz": str([height, width]),
        "batch": str(config.batch_size),
        "channels": str(model.channels),
        "family": model.family.name,
        "nms": str(config.nms),
    }
    calibration = config.data if config.int8 else ""
    return ExportTask(exported, images, path, metadata, config.dynamic, config.opset, calibration)


def main(argv: list[str] | None = None) -> list[Path]:
    """Read the flags and export.

    Files are written beside the checkpoint, or into the working folder for a model YAML.
    """
    given = EXPORT_LINE.read(argv)
    config = build(ExportConfig, given)
    use_modules(config.modules)
    weights = config.weights or str(newest_best())
    model = load_model(weights, fuse=False)
    files = [save_upstream(model, weights, config.half)] if config.save_upstream else []
    if files and "include" not in given:
        return files
    # The project's own models/ folder should not collect exported files.
    path = Path(weights).name if weights.endswith((".yaml", ".yml")) else weights
    return files + export(model, config, path)


if __name__ == "__main__":
    sys.exit(run_main(main))
