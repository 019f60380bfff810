"""The flags of detect.py, which api/ and hubconf.py fill from keywords and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from utils.cli import CommandLine, flag
from utils.errors import UserError, check_setting
from utils.families import V8, Family
from utils.files import next_folder
from utils.flags import shared
from utils.nms_settings import NMSSettings
from utils.sizes import LONGEST_SIDE, check_sides

USUAL_SIZE = 640
REFUSED_DETECT_FLAGS = {
    "--dnn": "OpenCV's DNN module is not used; leave it out, ONNX Runtime runs .onnx files",
    "--update": "is not needed; checkpoints are small and safe to load as train.py writes them",
}


@dataclass(frozen=True)
class DetectConfig:
    """All flags of detect.py. Raises UserError for an impossible value, with the flag's name."""

    weights: tuple[str, ...] = flag(
        [""],
        "checkpoint, or several as an ensemble, or an exported file; '' takes the best.pt trained"
        " last",
    )
    source: str = flag(
        "",
        "image, video, folder, glob, .txt or .streams list, camera number, URL, or "
        "`screen [n] [left top width height]`; '' takes the model's own validation images",
    )
    data: str = flag("", "data set YAML whose class names are used; '' takes the checkpoint's")
    modules: tuple[str, ...] = shared("modules")
    imgsz: tuple[int, ...] = shared("inference_size")
    conf_thres: float = shared("conf_thres")
    iou_thres: float | None = shared("detection_iou")
    max_det: int = shared("max_det", 1000)
    device: str = shared("device")
    view_img: bool = flag(False, "show the results in a window, where there is a display")
    save_txt: bool = flag(False, "write labels/NAME.txt")
    save_format: int = flag(
        0,
        "boxes in label files: 0 centre and size, 1 corners, both as shares of the image",
        choices=(0, 1),
    )
    save_csv: bool = flag(False, "write predictions.csv")
    save_conf: bool = shared("save_conf")
    save_crop: bool = flag(False, "write each object as an image of its own")
    nosave: bool = flag(False, "write no annotated images and videos")
    classes: tuple[int, ...] = flag([], "report these class numbers only", kind=int)
    agnostic_nms: bool = shared("agnostic_nms")
    augment: bool = shared("augment")
    project: str = shared("project", "runs/detect")
    name: str = shared("name")
    exist_ok: bool = shared("exist_ok")
    line_thickness: int = flag(0, "width of box lines, pixels; 0 chooses by the size of the image")
    font_size: float = flag(0.0, "height of labels, pixels; 0 chooses by the width of box lines")
    hide_labels: bool = flag(False, "draw boxes without names and confidences")
    hide_conf: bool = flag(False, "draw names without confidences")
    half: bool = shared("half")
    tf32: bool = shared("tf32")
    visualize: bool = flag(False, "write the feature maps of every row, in a folder for each image")
    vid_stride: int = flag(1, "search only every n-th frame of videos and streams")
    batch_size: int = flag(
        0,
        "images or frames computed at once: a batch on a device, threads on a processor; 0 chooses",
    )

    def __post_init__(self) -> None:
        check_sides(self.imgsz)
        if self.vid_stride < 1:
            raise UserError(f"--vid-stride={self.vid_stride}: must be at least 1")
        if self.batch_size < 0:
            raise UserError(
                f"--batch-size={self.batch_size}: must not be negative; 0 chooses by the device"
            )
        check_setting(
            0 <= self.font_size <= LONGEST_SIDE,
            "--font-size",
            self.font_size,
            f"must be 0 to {LONGEST_SIDE} pixels; 0 is automatic",
        )
        if self.line_thickness < 0:
            raise UserError(
                f"--line-thickness={self.line_thickness}: must not be negative; 0 is automatic"
            )
        self.nms(V8)  # checks the thresholds, by the same rule for every family

    @property
    def writes(self) -> bool:
        """Whether the flags ask for any file."""
        files = (self.save_txt, self.save_csv, self.save_crop, self.visualize)
        return not self.nosave or any(files)

    def new_folder(self) -> Path | None:
        """Make the folder of the run and return it; None if nothing is written."""
        return next_folder(self.project, self.name, self.exist_ok) if self.writes else None

    def check_classes(self, where: str, names: Mapping[int, str]) -> None:
        """Raise UserError, with `where` before the number, for a class that the model lacks."""
        unknown = [number for number in self.classes if number not in names]
        if unknown:
            raise UserError(
                f"{where}{unknown[0]}: the model's classes are numbered 0 to {len(names) - 1}"
            )

    def nms(self, family: Family) -> NMSSettings:
        """The settings of non-maximum suppression; raises UserError for a value out of range."""
        iou = family.detection_iou if self.iou_thres is None else self.iou_thres
        return NMSSettings(
            self.conf_thres, iou, self.max_det, self.classes or None, self.agnostic_nms
        )


DETECT_LINE = CommandLine(DetectConfig, "Find objects in images and videos.", REFUSED_DETECT_FLAGS)
