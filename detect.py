"""Find objects in images, videos, folders, cameras and streams.

    python detect.py --source image.jpg                        # with the weights trained last
    python detect.py --weights best.pt --source 0 --view-img     # camera 0

In engine/inference, detector.py finds the objects of images (letterbox, model, non-maximum
suppression), pipeline.py passes the frames of a source through it, outputs.py draws and writes
them, and settings.py has the flags.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.inference.settings import DETECT_LINE
    from utils.opening import open_program

    open_program(DETECT_LINE)

from data.sources.open import open_source, usual_source
from engine.detector_model import DetectorModel, in_half
from engine.explain.feature_writer import add_features, one_graph
from engine.inference.console import Console
from engine.inference.detector import Detector
from engine.inference.outputs import Outputs, conclude
from engine.inference.pipeline import show
from engine.inference.settings import DETECT_LINE, USUAL_SIZE, DetectConfig
from utils.cli import build
from utils.device import describe_device, take_device
from utils.errors import UserError, run_main
from utils.exported_names import is_exported
from utils.files import find_file
from utils.signals import StopRequested, StopSignal
from utils.text import counted


def load(config: DetectConfig) -> tuple[DetectorModel, DetectConfig, str]:
    """Load the model or ensemble of the flags.

    Returns the model, the flags with the image size filled in, and the data set YAML that the
    checkpoint names, or "". Raises UserError for a file that cannot be used, and for class numbers
    that the model does not have.
    """
    from engine.exported.load import can_halve, load_detector
    from engine.exported.model import ExportedDetector, agreed_size
    from models.graph.own_files import use_modules
    from models.weights.load import newest_best, read_weights

    use_modules(config.modules)
    paths = [path for path in config.weights if path]
    if not paths:
        paths = [str(newest_best())]
        print(f"--weights not given: taking the newest, {paths[0]}")
    device = take_device(config.device, config.tf32)
    has_graph = paths[0].endswith((".yaml", ".yml")) or is_exported(paths[0])
    trained = None if has_graph else read_weights(find_file(paths[0]))
    model = load_detector(paths, device, first=trained)
    if config.visualize:
        one_graph(model, paths)
    imgsz = config.imgsz or (
        (int(trained.config.get("imgsz", USUAL_SIZE)),) if trained else (USUAL_SIZE,)
    )
    if isinstance(model, ExportedDetector):
        imgsz = agreed_size(model, config.imgsz, USUAL_SIZE)
    if config.data:
        model.names = names_from(config.data, model.names, ", ".join(paths))
    config.check_classes("--classes ", model.names)
    if config.half and not can_halve(paths):
        config = dataclasses.replace(config, half=False)
    if config.half and in_half(model, device) == "fp32":
        print(f"--half: {device} is not faster in half precision; continuing in float32")
    print(describe_device(device))
    return model, dataclasses.replace(config, imgsz=imgsz), trained.data if trained else ""


def names_from(data: str, known: dict[int, str], weights: str) -> dict[int, str]:
    """The class names of a data set YAML for a model whose own names are `known`.

    Raises UserError if they are not as many, or name a class of the model at another number.
    """
    from data.dataset_yaml import read_dataset_yaml
    from models.weights.classes import compare_classes

    names = read_dataset_yaml(data).names
    if len(names) != len(known):
        raise UserError(
            f"--data {data}: names {counted(len(names), 'class', 'classes')}, but the model has"
            f" {len(known)}; leave"
            " --data out"
        )
    order, note = compare_classes(known, names, (weights, f"--data {data}"))
    if order != tuple(range(len(names))):
        raise UserError(
            f"--data {data}: has the classes of {weights} in another order; leave --data out"
        )
    if note:
        print(f"note: {note}")
    return names


def detect(config: DetectConfig) -> Path | None:
    """Run the model on the source, both as the flags name them.

    Returns the folder of the results, or None if the flags ask for no file. Raises UserError if
    nothing of the source could be read.
    """
    with contextlib.ExitStack() as stack:
        # The source is opened before the model is loaded, so that a mistyped path is reported
        # within a second.
        given = open_source(config.source, config.vid_stride) if config.source else None
        if given is not None:
            stack.callback(given.close)
        model, config, data = load(config)
        source = given if given is not None else usual_source(data)
        folder = config.new_folder()
        detector, console = Detector(model, config), Console()
        stack.callback(console.close, detector.shape, detector.channels)
        console.say(detector.size_note)
        outputs = add_features(Outputs(config, folder), detector)
        write = stack.enter_context(outputs.writing())
        for _ in stack.enter_context(contextlib.closing(show(source, detector, console, write))):
            pass
    conclude(source, console, outputs)
    return folder


def main(argv: list[str] | None = None) -> Path | None:
    """Read the flags and detect.

    After a signal the open files are completed, and the program ends with status 130 or 143.
    """
    config = build(DetectConfig, DETECT_LINE.read(argv))
    with StopSignal() as stop:
        try:
            with stop.anywhere():
                return detect(config)
        except StopRequested as request:
            print("stopped; the results so far are saved", file=sys.stderr)
            sys.exit(request.status)


if __name__ == "__main__":
    sys.exit(run_main(main, lower="--batch-size or --imgsz, or --device cpu"))
