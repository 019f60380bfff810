"""Find objects in pictures, videos, folders, cameras and streams.

    python detect.py --source picture.jpg                        # with the weights trained last
    python detect.py --weights best.pt --source 0 --view-img     # camera 0

The way of a picture: data/sources.py -> letterbox -> model -> utils/nms.py -> Detections -> data/writers.py.
As a library: `for found in predict(load_model("best.pt"), "pictures/", DetectConfig()): ...`
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.augment import letterbox
from data.console import Console, Found, Viewer, annotated, why_no_window
from data.sources import Source, open_source, usual_source
from data.writers import CropWriter, LabelWriter, PictureWriter, TableWriter
from utils.boxes import to_original
from utils.cli import build, flag, read_flags
from utils.device import autocast, describe, select_device
from utils.errors import UserError, run_main
from utils.files import find_file, next_folder
from utils.nms import NMSSettings, load_operator, non_max_suppression
from utils.signals import StopRequested, StopSignal
from utils.structures import Detections, Frame

USUAL_SIZE = 640
USUAL_IOU = {True: 0.45, False: 0.7}  # YOLOv5's for heads with objectness, YOLOv8's for those without


@dataclass(frozen=True)
class DetectConfig:
    """All flags of detect.py. Raises UserError for an impossible value, with the flag's name."""

    weights: tuple[str, ...] = flag([""], "checkpoint, or several to be averaged; '' takes the best.pt trained last")
    source: str = flag("", "picture, video, folder, glob, .txt or .streams list, camera number, URL, or "
                       "`screen [n] [left top width height]`; '' takes the model's own validation pictures")
    data: str = flag("", "data set YAML whose class names are to be used; '' takes the checkpoint's")
    imgsz: tuple[int, ...] = flag([], "inference size: side, or height and width; left out: as the model was trained",
                                  kind=int, aliases=("--img", "--img-size"))
    conf_thres: float = flag(0.25, "lowest confidence to report", aliases=("--conf",))
    iou_thres: float | None = flag(None, "overlap above which the less confident of two boxes is dropped; left out: "
                                   "0.45, for graphs without anchors 0.7", kind=float, aliases=("--iou",))
    max_det: int = flag(1000, "most detections of a picture")
    device: str = flag("", "cuda device such as 0, or cpu, or mps; '' chooses")
    view_img: bool = flag(False, "show the results in a window, where there is a display")
    save_txt: bool = flag(False, "write labels/NAME.txt")
    save_format: int = flag(0, "form of boxes in label files: 0 centre and size, 1 corners; shares of the picture",
                            choices=(0, 1))
    save_csv: bool = flag(False, "write predictions.csv")
    save_conf: bool = flag(False, "write the confidence into label files too")
    save_crop: bool = flag(False, "write each found object as a picture of its own")
    nosave: bool = flag(False, "write no annotated pictures and videos")
    classes: tuple[int, ...] = flag([], "report these class numbers only", kind=int)
    agnostic_nms: bool = flag(False, "let boxes of different classes suppress each other")
    augment: bool = flag(False, "look at three scales and a mirror image too")
    project: str = flag("runs/detect", "folder of runs")
    name: str = flag("exp", "name of this run")
    exist_ok: bool = flag(False, "write into project/name even if it is there")
    line_thickness: int = flag(0, "width of box lines, pixels; 0 takes what suits the picture")
    hide_labels: bool = flag(False, "draw boxes without names and confidences")
    hide_conf: bool = flag(False, "draw names without confidences")
    half: bool = flag(False, "compute in half precision (CUDA)")
    vid_stride: int = flag(1, "look at every n-th frame of videos and streams")

    def __post_init__(self) -> None:
        if len(self.imgsz) > 2 or any(side < 32 for side in self.imgsz):
            raise UserError(f"--imgsz={self.imgsz}: takes a side, or height and width, of at least 32 pixels")
        if self.vid_stride < 1:
            raise UserError(f"--vid-stride={self.vid_stride}: must be at least 1")
        if self.line_thickness < 0:
            raise UserError(f"--line-thickness={self.line_thickness}: must not be negative; 0 is automatic")
        self.nms()

    def nms(self, objectness: bool = True) -> NMSSettings:
        """What non-maximum suppression keeps of a head's boxes; refuses thresholds out of range."""
        iou = USUAL_IOU[objectness] if self.iou_thres is None else self.iou_thres
        return NMSSettings(self.conf_thres, iou, self.max_det, self.classes or None, self.agnostic_nms)


REFUSED_FLAGS = {
    "--dnn": "is not part of this project; leave it out, PyTorch computes the same",
    "--update": "is not needed; checkpoints are small and safe to load as train.py writes them",
    "--visualize": "is not part of this project; register a forward hook on the layer of model.model you want to see",
}


class Detector:
    """A model with its settings: frame in, Found out.

    model: has names and stride, and returns (decoded [1, N, 5 + nc], ...) for [1, 3, H, W] in 0..1; [1, N, 4 + nc] if
    its `objectness` is False.
    """

    def __init__(self, model: Any, config: DetectConfig) -> None:
        load_operator()
        self.model, self.config = model, config
        self.objectness: bool = getattr(model, "objectness", True)
        self.device = next((value.device for value in model.parameters()), torch.device("cpu"))
        self.stride = max(32, int(model.stride.max()))
        sides = config.imgsz or (USUAL_SIZE,)
        height, width = (-(-side // self.stride) * self.stride for side in (sides[0], sides[-1]))
        self.shape = (height, width)

    def __call__(self, frame: Frame) -> Found:
        started = self._clock()
        x, gain, pad = self._prepare(frame.image)
        prepared = self._clock()
        precision = "fp16" if self.config.half and self.device.type == "cuda" else "fp32"
        with torch.inference_mode(), autocast(self.device, precision):
            decoded = self.model(x, augment=True)[0] if self.config.augment else self.model(x)[0]
        computed = self._clock()
        settings = self.config.nms(self.objectness)
        rows = non_max_suppression(decoded, settings, objectness=self.objectness)[0].cpu()
        size = (frame.image.shape[0], frame.image.shape[1])
        boxes = to_original(rows[:, :4], gain, pad, size)
        found = Detections(frame.path, size, boxes, rows[:, 4], rows[:, 5].long(), self.model.names)
        times = (prepared - started, computed - prepared, self._clock() - computed)
        return Found(frame, found, (x.shape[2], x.shape[3]), times)

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _prepare(self, image: np.ndarray) -> tuple[Tensor, tuple[float, float], tuple[float, float]]:
        """[H, W, 3] uint8 BGR -> ([1, 3, h, w] float 0..1 RGB, gain (x, y), pad (x, y)); the least border that fits."""
        boxed, plan = letterbox(image, self.shape, auto=True, stride=self.stride)
        pixels = np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1))
        return torch.from_numpy(pixels).to(self.device)[None].float() / 255, plan.ratio, plan.pad


def predict(
    model: Any, source: str | Path | Iterable[Frame], config: DetectConfig | None = None
) -> Iterator[Detections]:
    """Yield the Detections of each picture or frame of source, in order; nothing is drawn or written.

    source: as --source, or Frames. Raises UserError for a source that is missing.
    """
    config = config or DetectConfig()
    detector = Detector(model, config)
    if not isinstance(source, (str, Path)):
        yield from (detector(frame).detections for frame in source)
        return
    with contextlib.closing(open_source(str(source), config.vid_stride)) as frames:
        yield from (detector(frame).detections for frame in frames)


class Outputs:
    """Everything that a run writes or shows, by the flags. folder: None if nothing is written."""

    def __init__(self, config: DetectConfig, folder: Path | None) -> None:
        self.config, self.folder = config, folder
        self.labels: LabelWriter | None = None
        self.pictures: PictureWriter | None = None
        self._writers: list[Callable[[Frame, Detections], None]] = []
        self._viewer: Viewer | None = None
        if folder is not None:
            self._add_writers(folder)
        if config.view_img:
            reason = why_no_window()
            if reason:
                print(f"--view-img: {reason}; going on without a window")
            self._viewer = None if reason else Viewer()

    def _add_writers(self, folder: Path) -> None:
        config = self.config
        if config.save_txt:
            self.labels = LabelWriter(folder / "labels", config.save_conf, config.save_format == 1)
            self._writers.append(self.labels)
        if config.save_csv:
            self._writers.append(TableWriter(folder / "predictions.csv"))
        if config.save_crop:
            self._writers.append(CropWriter(folder / "crops"))
        if not config.nosave:
            self.pictures = PictureWriter(folder)

    def __call__(self, found: Found) -> bool:
        """Write and show one frame; False if the user wants to stop."""
        for write in self._writers:
            write(found.frame, found.detections)
        config = self.config
        if self.pictures is None and self._viewer is None:
            return True
        drawn = annotated(found, config.line_thickness, not config.hide_labels, not config.hide_conf)
        if self.pictures is not None:
            self.pictures(found.frame, drawn)
        return self._viewer(found.frame, drawn) if self._viewer else True

    def close(self) -> None:
        for part in (self.pictures, self._viewer):
            if part is not None:
                part.close()


def load(config: DetectConfig) -> tuple[Any, DetectConfig, str]:
    """The model or ensemble, the configuration with what the checkpoint knows filled in, and its data set's YAML."""
    from models.ensemble import load_models
    from models.weights import newest_best, read_weights

    paths = [path for path in config.weights if path]
    if not paths:
        paths = [str(newest_best())]
        print(f"--weights: {paths[0]}, trained last")
    device = select_device(config.device)
    model = load_models(paths, device)
    trained = None if paths[0].endswith((".yaml", ".yml")) else read_weights(find_file(paths[0]))
    imgsz = config.imgsz or ((int(trained.config.get("imgsz", USUAL_SIZE)),) if trained else (USUAL_SIZE,))
    if config.data:
        model.names = names_from(config.data, len(model.names))
    unknown = [number for number in config.classes if number not in model.names]
    if unknown:
        raise UserError(f"--classes {unknown[0]}: the model's classes are numbered 0 to {len(model.names) - 1}")
    if config.half and device.type != "cuda":
        print(f"--half: is for CUDA devices; {device.type} computes in single precision")
    print(describe(device))
    return model, dataclasses.replace(config, imgsz=imgsz), trained.data if trained else ""


def names_from(data: str, count: int) -> dict[int, str]:
    """The class names of a data set YAML, which must have as many classes as the model."""
    from data.index import read_dataset_yaml

    names = read_dataset_yaml(data).names
    if len(names) != count:
        raise UserError(f"--data {data}: names {len(names)} classes, but the model has {count}; leave --data out")
    return names


def detect(config: DetectConfig) -> Path | None:
    """Run the flags' model over the flags' source; return the results' folder, None if nothing was to be written.

    Raises UserError if nothing of the source could be read.
    """
    with contextlib.ExitStack() as stack:
        given = open_source(config.source, config.vid_stride) if config.source else None  # before the model: it may be
        if given is not None:  # a mistyped path
            stack.callback(given.close)
        model, config, data = load(config)
        source = given if given is not None else usual_source(data)
        writes = not config.nosave or config.save_txt or config.save_csv or config.save_crop
        folder = next_folder(config.project, config.name, config.exist_ok) if writes else None
        detector, console = Detector(model, config), Console()
        stack.callback(console.close, detector.shape)
        outputs = stack.enter_context(contextlib.closing(Outputs(config, folder)))
        for frame in source:
            found = detector(frame)
            console.show(found)
            if not outputs(found):
                break
    conclude(source, console, outputs)
    return folder


def conclude(source: Source, console: Console, outputs: Outputs) -> None:
    """Say where the results are and what could not be read."""
    if source.skipped:
        names = ", ".join(path for path, _ in source.skipped)
        print(f"{len(source.skipped)} of {source.items} could not be read: {names}")
    if not console.frames:
        path, reason = source.skipped[0] if source.skipped else ("the source", "it gave no frame")
        raise UserError(f"--source: nothing could be read; {path}: {reason}")
    if outputs.folder is not None:
        print(f"Results saved to {outputs.folder}")
    if outputs.labels is not None and outputs.folder is not None:
        print(f"{outputs.labels.written} labels saved to {outputs.folder / 'labels'}")


def main(argv: list[str] | None = None) -> Path | None:
    """Read the flags and detect; a signal finishes the files at hand, then leaves with status 130 or 143."""
    config = build(DetectConfig, read_flags(DetectConfig, argv, "Find objects in pictures and videos.", REFUSED_FLAGS))
    with StopSignal() as stop:
        try:
            with stop.anywhere():
                return detect(config)
        except StopRequested as request:
            print("stopped; what was found until now is saved", file=sys.stderr)
            sys.exit(request.status)


if __name__ == "__main__":
    sys.exit(run_main(main))
