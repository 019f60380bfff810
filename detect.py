"""Find objects in images, videos, folders, cameras and streams.

    python detect.py --source image.jpg                        # with the weights trained last
    python detect.py --weights best.pt --source 0 --view-img     # camera 0

The way of an image, in engine/inference: detector.py (letterbox, model, non-maximum suppression),
then outputs.py, which draws and writes. settings.py has the flags.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any

from data.sources.open import open_source, usual_source
from engine.inference.console import Console
from engine.inference.detector import Detector
from engine.inference.outputs import Outputs, conclude
from engine.inference.settings import USUAL_SIZE, DetectConfig
from utils.cli import build, read_flags
from utils.device import describe, select_device
from utils.errors import UserError, run_main
from utils.files import find_file, next_folder
from utils.signals import StopRequested, StopSignal

REFUSED_FLAGS = {
    "--dnn": "is not part of this project; leave it out, PyTorch computes the same",
    "--update": "is not needed; checkpoints are small and safe to load as train.py writes them",
    "--visualize": (
        "is not part of this project; register a forward hook on the layer of model.model you want"
        " to see"
    ),
}


def load(config: DetectConfig) -> tuple[Any, DetectConfig, str]:
    """The model or ensemble, the configuration with what the checkpoint knows filled in, and its
    data set's YAML.
    """
    from models.weights.ensemble import load_models
    from models.weights.load import newest_best, read_weights

    paths = [path for path in config.weights if path]
    if not paths:
        paths = [str(newest_best())]
        print(f"--weights: {paths[0]}, trained last")
    device = select_device(config.device)
    model = load_models(paths, device)
    trained = None if paths[0].endswith((".yaml", ".yml")) else read_weights(find_file(paths[0]))
    imgsz = config.imgsz or (
        (int(trained.config.get("imgsz", USUAL_SIZE)),) if trained else (USUAL_SIZE,)
    )
    if config.data:
        model.names = names_from(config.data, len(model.names))
    unknown = [number for number in config.classes if number not in model.names]
    if unknown:
        raise UserError(
            f"--classes {unknown[0]}: the model's classes are numbered 0 to {len(model.names) - 1}"
        )
    if config.half and device.type != "cuda":
        print(f"--half: is for CUDA devices; {device.type} computes in single precision")
    print(describe(device))
    return model, dataclasses.replace(config, imgsz=imgsz), trained.data if trained else ""


def names_from(data: str, count: int) -> dict[int, str]:
    """The class names of a data set YAML, which must have as many classes as the model."""
    from data.dataset_yaml import read_dataset_yaml

    names = read_dataset_yaml(data).names
    if len(names) != count:
        raise UserError(
            f"--data {data}: names {len(names)} classes, but the model has {count}; leave"
            " --data out"
        )
    return names


def detect(config: DetectConfig) -> Path | None:
    """Run the flags' model over the flags' source; return the results' folder, None if nothing was
    to be written.

    Raises UserError if nothing of the source could be read.
    """
    with contextlib.ExitStack() as stack:
        given = (
            open_source(config.source, config.vid_stride) if config.source else None
        )  # before the model: it may be
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


def main(argv: list[str] | None = None) -> Path | None:
    """Read the flags and detect; a signal finishes the files at hand, then leaves with status 130
    or 143.
    """
    config = build(
        DetectConfig,
        read_flags(DetectConfig, argv, "Find objects in images and videos.", REFUSED_FLAGS),
    )
    with StopSignal() as stop:
        try:
            with stop.anywhere():
                return detect(config)
        except StopRequested as request:
            print("stopped; what was found until now is saved", file=sys.stderr)
            sys.exit(request.status)


if __name__ == "__main__":
    sys.exit(run_main(main))
