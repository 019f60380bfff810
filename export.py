"""Write a trained detector into a file that other programs run: ONNX or TorchScript.

    python export.py --weights runs/train/exp/weights/best.pt --include onnx torchscript
    python export.py --weights runs/train/exp/weights/best.pt --save-upstream

Input `images` [B, 3, H, W], RGB in 0..1. Output `output0`: of graphs with anchors [B, N, 5 + nc],
rows of x, y, w, h in pixels, objectness, classes, as in YOLOv5; of graphs without anchors
[B, 4 + nc, N], as in YOLOv8. With --nms [B, max_det, 6]: x1, y1, x2, y2, confidence, class, and
zeros after the last detection. The files hold class names and stride. --save-upstream writes the
weights under the keys that YOLOv5 and YOLOv8 have for the same graph. Formats are in engine/export.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from engine.export.formats import EXPORTERS
from engine.export.model import ExportedModel
from engine.export.settings import REFUSED_EXPORT_FLAGS, ExportConfig
from engine.export.task import ExportTask
from engine.export.upstream import save_upstream
from models.weights.load import load_model, newest_best
from models.yolo import DetectionModel
from utils.cli import build, read_flags
from utils.device import select_device
from utils.errors import run_main
from utils.sizes import side_step, whole_side


def export(model: DetectionModel, config: ExportConfig, path: str | Path) -> list[Path]:
    """Write a model in all formats of the flags.

    Args:
        model: not changed.
        config: the flags; weights and save_upstream are not read.
        path: of the checkpoint; the files are written beside it, each with a suffix of its own.

    Returns:
        The paths of the files.

    Raises:
        UserError: a package is missing, or a format cannot be written.
    """
    task = make_task(model, config, Path(path))
    with torch.no_grad():
        task.model(task.images)  # a mistake shows here with its cause, not inside an exporter
    files = [EXPORTERS[name](task) for name in dict.fromkeys(config.include)]
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return files


def make_task(model: DetectionModel, config: ExportConfig, path: Path) -> ExportTask:
    """Prepare the network and its example input, which all formats are written from.

    Args:
        model: not changed.
        config: the flags.
        path: of the checkpoint.
    """
    stride = side_step(model.stride)
    height, width = (whole_side(side, stride) for side in (config.imgsz[0], config.imgsz[-1]))
    if (height, width) != (config.imgsz[0], config.imgsz[-1]):
        print(
            f"--imgsz {config.imgsz}: is no multiple of the stride {stride}, taking"
            f" {height}x{width}"
        )
    device = select_device(config.device or "cpu")
    suppression = config.suppression(model.family) if config.nms else None
    exported = ExportedModel(model, suppression).to(device)
    # Suppression runs image by image, so the file fixes their number. If it does not, the example
    # has two images at least: of a batch of one, the tracer would make a rule.
    any_batch = config.dynamic and not config.nms
    batch = max(config.batch_size, 2) if any_batch else config.batch_size
    images = torch.zeros(batch, 3, height, width, device=device)
    if config.half:
        exported, images = exported.half(), images.half()
    metadata = {
        "stride": str(int(model.stride.max())),
        "names": str(dict(model.names)),
        "task": "detect",
        "imgsz": str([height, width]),
        "batch": str(config.batch_size),
    }
    return ExportTask(exported, images, path, metadata, config.dynamic, config.opset)


def main(argv: list[str] | None = None) -> list[Path]:
    """Read the flags and export.

    Files are written beside the checkpoint; those of a model YAML into the working folder.
    """
    given = read_flags(ExportConfig, argv, "Export a detector.", REFUSED_EXPORT_FLAGS)
    config = build(ExportConfig, given)
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
