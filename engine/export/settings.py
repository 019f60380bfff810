"""The flags of export.py, which api/yolo.py fills from keywords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.export.formats import EXPORTERS, unknown_format
from utils.cli import CommandLine, flag
from utils.config import NOT_HERE
from utils.errors import UserError, check_setting
from utils.families import V8, Family
from utils.flags import SHARED_FLAGS, shared
from utils.nms_settings import MOST_CANDIDATES, NMSSettings
from utils.sizes import check_sides

MOST_IMAGES = 4096  # of a batch, all of which the file computes at once


def for_nms(name: str, **options: Any) -> Any:
    """A shared flag whose help says that only --nms reads it; options are those of shared()."""
    return shared(name, help=f"--nms: {SHARED_FLAGS[name].help}", **options)


@dataclass(frozen=True)
class ExportConfig:
    """All flags of export.py. Raises UserError for an impossible value, with the flag's name."""

    weights: str = flag("", "checkpoint or model YAML; '' takes the best.pt trained last")
    modules: tuple[str, ...] = shared("modules")
    include: tuple[str, ...] = flag(
        ["torchscript"], f"formats: {', '.join(sorted(EXPORTERS))}", aliases=("--format",)
    )
    imgsz: tuple[int, ...] = flag(
        [640], "image size: side, or height and width", aliases=("--img", "--img-size")
    )
    batch_size: int = flag(1, "images per batch", aliases=("--batch",))
    device: str = flag(
        "", "where the model is traced: CUDA device such as 0, or cpu; '' chooses the processor"
    )
    half: bool = flag(False, "weights, input and arithmetic in half precision")
    int8: bool = flag(
        False, "ONNX: convolutions in eight bits, as NAME_int8.onnx; reads images of --data"
    )
    data: str = flag("", "--int8: data set YAML whose training images show the ranges of the maps")
    dynamic: bool = flag(
        False, "ONNX: any height and width (multiples of the stride), without --nms any batch too"
    )
    simplify: bool = flag(False, "ONNX: fold constants and drop unused nodes; always done")
    opset: int = flag(0, "ONNX: operator set, 18 or later; 0 takes the exporter's own")
    nms: bool = flag(False, "include non-maximum suppression in the file")
    agnostic_nms: bool = for_nms("agnostic_nms")
    conf_thres: float = for_nms("conf_thres")
    iou_thres: float | None = for_nms("detection_iou")
    max_det: int = for_nms("max_det", aliases=("--topk-all",))
    save_upstream: bool = flag(
        False,
        "write NAME_upstream.pt, the weights as a state dict with YOLOv5's or YOLOv8's "
        "own keys; without --include nothing else",
    )

    def __post_init__(self) -> None:
        for name in self.include:
            if name not in EXPORTERS:
                raise UserError(f"--include {name}: {unknown_format(name)}")
        check_setting(bool(self.imgsz), "--imgsz", self.imgsz, "takes a side, or height and width")
        check_sides(self.imgsz)
        for name, value, most in (
            ("--batch-size", self.batch_size, MOST_IMAGES),
            ("--max-det", self.max_det, MOST_CANDIDATES),
        ):
            if not 1 <= value <= most:
                raise UserError(f"{name}={value}: must be 1 to {most}")
        if self.int8:
            self._check_int8()
        if self.opset and self.opset < 18:
            raise UserError(
                f"--opset={self.opset}: PyTorch's exporter writes 18 and later; leave it out, or"
                " convert the file with onnx.version_converter"
            )
        self.suppression(V8)  # checks the thresholds, by the same rule for every family

    def _check_int8(self) -> None:
        for flags, wrong in (
            (f"--include {' '.join(self.include)}", self.include != ("onnx",)),
            ("--half", self.half),
        ):
            if wrong:
                raise UserError(f"--int8: is for --include onnx without --half; change {flags}")
        if not self.data:
            raise UserError("--int8: needs --data, whose training images show the ranges")

    def suppression(self, family: Family) -> NMSSettings:
        """The settings of --nms; raises UserError for a value out of range."""
        iou = family.detection_iou if self.iou_thres is None else self.iou_thres
        return NMSSettings(self.conf_thres, iou, self.max_det, agnostic=self.agnostic_nms)


REFUSED_EXPORT_FLAGS = {
    **dict.fromkeys(("--inplace", "--train"), f"{NOT_HERE}; a head is always exported whole"),
    **dict.fromkeys(
        ("--keras", "--tf-nms", "--per-tensor"), f"{NOT_HERE}; convert the ONNX file with onnx2tf"
    ),
    **dict.fromkeys(("--cache",), f"{NOT_HERE}; TensorRT has its own cache, which trtexec writes"),
    **dict.fromkeys(
        ("--workspace", "--verbose"), f"{NOT_HERE}; build engines with trtexec from the ONNX file"
    ),
    "--optimize": f"{NOT_HERE}; apply torch.utils.mobile_optimizer to the TorchScript file",
    "--mlmodel": f"{NOT_HERE}; convert the TorchScript file with coremltools",
    "--topk-per-class": f"{NOT_HERE}; use --max-det",
}
EXPORT_LINE = CommandLine(ExportConfig, "Export a detector.", REFUSED_EXPORT_FLAGS)
