"""Show what a detector looks at: heat maps of its objects or classes.

    python explain.py --weights best.pt --source images/
    python explain.py --weights plain.pt attention.pt --source images/    # side by side

The results are figures in PNG and PDF. --gates adds what attention modules multiply by, --features
the maps of every row, --receptive-field what a cell depends on, --check tests of the maps. In
engine/explain, heat.py computes the maps by the formulas of formulas.py, explainer.py passes frames
through them, report.py writes the figures, and settings.py has the flags.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.explain.settings import EXPLAIN_LINE
    from utils.opening import open_program

    open_program(EXPLAIN_LINE)

from data.sources.open import Source, open_source, usual_source
from engine.explain.explainer import Explainer, model_labels
from engine.explain.report import report, write_fields
from engine.explain.settings import EXPLAIN_LINE, ExplainConfig
from engine.inference.settings import USUAL_SIZE
from models.yolo import DetectionModel
from utils.cli import build
from utils.device import describe_device, take_device
from utils.errors import UserError, run_main
from utils.files import next_folder
from utils.output import print_anywhere
from utils.structures import Frame
from utils.text import printable

MOST_FIELDS = 8  # images over which receptive fields are averaged


def load(config: ExplainConfig) -> tuple[dict[str, DetectionModel], ExplainConfig, str]:
    """Load the models of the flags.

    Returns label -> model, the flags with the image size filled in, and the data set YAML that the
    first checkpoint names, or "". Raises UserError for a file that cannot be used, and for models
    of different classes.
    """
    from models.graph.own_files import use_modules
    from models.weights.load import find_weights, load_model, newest_best, read_weights

    use_modules(config.modules)
    paths = [path for path in config.weights if path]
    if not paths:
        paths = [str(newest_best())]
        print(f"--weights not given: taking the newest, {paths[0]}")
    device, data, imgsz = take_device(config.device, config.tf32), "", config.imgsz
    models = {}
    for label, path in zip(model_labels(paths), paths, strict=True):
        has_graph = path.endswith((".yaml", ".yml"))
        trained = None if has_graph else read_weights(find_weights(path))
        models[label] = load_model(path, device, checkpoint=trained)
        if trained and label == next(iter(models)):
            data = trained.data
            imgsz = imgsz or (int(trained.config.get("imgsz", USUAL_SIZE)),)
    check_same_classes(models, config)
    print(describe_device(device))
    return models, dataclasses.replace(config, imgsz=imgsz or (USUAL_SIZE,)), data


def check_same_classes(models: dict[str, DetectionModel], config: ExplainConfig) -> None:
    """Raise UserError for models of different classes, and for --classes that they do not have."""
    (first, model), *others = models.items()
    for label, other in others:
        if other.names != model.names:
            raise UserError(
                f"--weights: {label} has other classes than {first}; models side by side need the"
                " same ones"
            )
    unknown = [number for number in config.classes if number not in model.names]
    if unknown:
        raise UserError(
            f"--classes {unknown[0]}: the model's classes are numbered 0 to {len(model.names) - 1}"
        )


def explain(config: ExplainConfig) -> Path:
    """Explain all images of the source, as the flags say, and return the folder of the results."""
    with contextlib.ExitStack() as stack:
        # The source is opened first, so that a mistyped path is reported within a second.
        given = open_source(config.source, config.vid_stride) if config.source else None
        models, config, data = load(config)
        source = given if given is not None else usual_source(data)
        stack.callback(source.close)
        explainer = Explainer(models, config)
        folder = next_folder(config.project, config.name, config.exist_ok)
        count, seen = 0, list[Frame]()
        for frame in source:
            report(frame, explainer, folder)
            count += 1
            if config.receptive_field and len(seen) < MOST_FIELDS:
                seen.append(frame)
    if seen:
        write_fields(seen, explainer, folder)
    finish(source, count)
    print(f"Results saved to {printable(folder)}")
    return folder


def finish(source: Source, count: int) -> None:
    """Say what could not be read. Raises UserError if that is all of the source."""
    if source.skipped:
        names = ", ".join(printable(path) for path, _ in source.skipped)
        print_anywhere(f"{len(source.skipped)} of {source.items} could not be read: {names}")
    if not count:
        path, reason = source.skipped[0] if source.skipped else ("the source", "it gave no frame")
        raise UserError(f"--source: nothing could be read; {printable(path)}: {reason}")


def main(argv: list[str] | None = None) -> Path:
    """Read the flags and explain."""
    return explain(build(ExplainConfig, EXPLAIN_LINE.read(argv)))


if __name__ == "__main__":
    sys.exit(run_main(main, lower="--imgsz"))
