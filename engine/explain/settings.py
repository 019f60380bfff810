"""The flags of explain.py, which api/ fills from keywords."""

from __future__ import annotations

from dataclasses import dataclass

from utils.cli import CommandLine, flag
from utils.errors import UserError
from utils.families import V8, Family
from utils.flags import shared
from utils.nms_settings import NMSSettings
from utils.sizes import check_sides

METHODS = {"layercam": "LayerCAM", "gradcam": "Grad-CAM", "eigencam": "EigenCAM"}
PER = ("object", "class")
REFUSED_EXPLAIN_FLAGS = {
    "--half": "is for detect.py and val.py; maps need gradients, which half precision rounds to 0",
    "--augment": "is for detect.py and val.py; a map belongs to one view of an image",
}


@dataclass(frozen=True)
class ExplainConfig:
    """All flags of explain.py. Raises UserError for an impossible value, with the flag's name."""

    weights: tuple[str, ...] = flag(
        [""],
        "checkpoint, or several that are shown side by side; '' takes the best.pt trained last",
    )
    source: str = flag("", "image, folder or glob; '' takes the model's own validation images")
    modules: tuple[str, ...] = shared("modules")
    method: str = flag(
        "layercam",
        "formula of the heat maps: layercam, gradcam or eigencam",
        choices=tuple(METHODS),
    )
    per: str = flag(
        "object",
        "what is explained: the score of each object, or that of each class found, in all cells",
        choices=PER,
    )
    layers: tuple[str, ...] = flag(
        ["auto"],
        "rows whose maps are weighted: auto, head (those that the head reads), backbone (the last"
        " one of each of the head's strides), or numbers of rows",
    )
    imgsz: tuple[int, ...] = shared("inference_size")
    conf_thres: float = shared("conf_thres")
    iou_thres: float | None = shared("detection_iou")
    max_det: int = shared("max_det", 3, help="objects or classes explained in each image")
    classes: tuple[int, ...] = flag([], "explain these class numbers only", kind=int)
    gates: bool = flag(False, "also draw the gates of every attention module")
    features: bool = flag(
        False, "also draw the feature maps of every row", aliases=("--visualize",)
    )
    receptive_field: bool = flag(False, "also measure the effective receptive field of each level")
    check: bool = flag(
        False,
        "also test the maps: weights randomised from the top down, and a deletion curve",
    )
    device: str = shared("device")
    tf32: bool = shared("tf32")
    vid_stride: int = flag(1, "explain only every n-th frame of videos")
    project: str = shared("project", "runs/explain")
    name: str = shared("name")
    exist_ok: bool = shared("exist_ok")

    def __post_init__(self) -> None:
        check_sides(self.imgsz)
        if self.vid_stride < 1:
            raise UserError(f"--vid-stride={self.vid_stride}: must be at least 1")
        for name, value, known in (("method", self.method, METHODS), ("per", self.per, PER)):
            if value not in known:
                raise UserError(f"--{name} {value}: must be {' or '.join(known)}")
        named = [one for one in self.layers if one in ("auto", "head", "backbone")]
        if not self.layers or (named and len(self.layers) > 1):
            raise UserError("--layers: takes auto, head or backbone alone, or numbers of rows")
        if not named and not all(one.isdecimal() for one in self.layers):
            raise UserError(
                f"--layers {' '.join(self.layers)}: takes auto, head, backbone, or numbers of rows"
            )
        self.nms(V8)  # checks the thresholds, by the same rule for every family

    def nms(self, family: Family) -> NMSSettings:
        """The settings of non-maximum suppression; raises UserError for a value out of range."""
        iou = family.detection_iou if self.iou_thres is None else self.iou_thres
        return NMSSettings(self.conf_thres, iou, self.max_det, self.classes or None)


EXPLAIN_LINE = CommandLine(ExplainConfig, "Show what a detector looks at.", REFUSED_EXPLAIN_FLAGS)
