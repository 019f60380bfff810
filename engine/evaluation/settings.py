"""The flags of val.py, which api/yolo.py fills from keywords."""

from __future__ import annotations

from dataclasses import dataclass

from utils.cli import CommandLine, flag
from utils.errors import UserError, check_setting
from utils.families import V8
from utils.flags import shared
from utils.nms_settings import NMSSettings
from utils.sizes import LONGEST_SIDE

CONF_OF_MAP = 0.001  # a higher threshold cuts off the ends of the curves, which lowers mAP
SPLITS = ("train", "val", "test")
REFUSED_VAL_FLAGS = {
    "--dnn": "OpenCV's DNN module is not used; leave it out, ONNX Runtime runs .onnx files",
}


@dataclass(frozen=True)
class ValConfig:
    """All flags of val.py. Raises UserError for an impossible value, with the flag's name."""

    weights: tuple[str, ...] = flag(
        (),
        "checkpoints, several make an ensemble, or an exported file; if left out the newest"
        " best.pt",
        kind=str,
        nargs="+",
    )
    attention: tuple[str, ...] = flag(
        (),
        "modules to insert into the weights' graph first, such as SimAM@neck",
        kind=str,
        nargs="+",
    )
    attention_init: str = flag(
        "",
        "how the inserted modules start: identity changes no output",
        choices=("", "paper", "identity"),
    )
    modules: tuple[str, ...] = shared("modules")
    data: str = flag("", "data set YAML; if left out the one the checkpoint was trained on")
    batch_size: int = flag(32, "images per batch", aliases=("--batch",))
    imgsz: int = flag(640, "longer side of the images, pixels", aliases=("--img", "--img-size"))
    conf_thres: float = shared("conf_thres", CONF_OF_MAP)
    iou_thres: float | None = shared("validation_iou")
    max_det: int = shared("max_det")
    protocol: str = shared("protocol")
    task: str = flag(
        "val",
        "the split to score, or speed, or study (accuracy and time over image sizes)",
        choices=(*SPLITS, "speed", "study"),
    )
    device: str = shared("device")
    workers: int | None = shared("workers")
    single_cls: bool = shared("single_cls")
    augment: bool = shared("augment")
    verbose: bool = flag(False, "print a row for each class however many there are")
    save_txt: bool = flag(False, "write detections as labels/*.txt")
    save_hybrid: bool = flag(
        False, "write labels and detections together as labels/*.txt; mAP is meaningless then"
    )
    save_conf: bool = flag(False, "add the confidence to each row of --save-txt")
    save_json: bool = flag(False, "write detections as COCO JSON and score them by COCO's protocol")
    project: str = shared("project", "runs/val")
    name: str = shared("name")
    exist_ok: bool = shared("exist_ok")
    half: bool = shared("half")
    tf32: bool = shared("tf32")
    noplots: bool = shared("noplots")

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--batch-size", self.batch_size, 1),
            ("--imgsz", self.imgsz, 32),
            ("--workers", self.workers or 0, 0),
        ):
            check_setting(value >= least, name, value, f"must be at least {least}")
        most = f"must be at most {LONGEST_SIDE} pixels"
        check_setting(self.imgsz <= LONGEST_SIDE, "--imgsz", self.imgsz, most)
        # NMSSettings checks the thresholds, by the same rule for every family.
        iou = V8.validation_iou if self.iou_thres is None else self.iou_thres
        NMSSettings(self.conf_thres, iou, self.max_det)
        if self.attention_init and not self.attention:
            raise UserError(
                f"--attention-init {self.attention_init}: needs --attention, whose modules it"
                " initialises; give that too"
            )


VAL_LINE = CommandLine(ValConfig, "Score a detector on a labelled data set.", REFUSED_VAL_FLAGS)
