"""What explain.py and the Python interface write and print for a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.explain.check_panels import draw_check, sentences_of
from engine.explain.checks import check_map
from engine.explain.explainer import Explainer, Explanation, subject_of
from engine.explain.features import write_features
from engine.explain.gate_panels import draw_gates
from engine.explain.gates import gates_of
from engine.explain.heat import choose_rows
from engine.explain.panels import draw_explanation
from engine.explain.receptive import SHARES, receptive_fields
from engine.explain.receptive_panels import draw_fields
from engine.explain.saving import save_both
from engine.inference.settings import USUAL_SIZE
from engine.inference.writers import result_stem
from utils.errors import UserError
from utils.output import print_anywhere
from utils.sizes import side_step, whole_side
from utils.structures import Frame
from utils.text import file_name, printable


def report(
    frame: Frame, explainer: Explainer, folder: Path | None, verbose: bool = True
) -> Explanation:
    """Explain a frame.

    Args:
        frame: An image, or a frame of a video.
        explainer: The models and settings.
        folder: Where the figures are written, PNG and PDF; None writes none.
        verbose: Whether to print a line.

    Raises:
        UserError: The frame is of a live source.
    """
    if frame.kind == "stream":
        raise UserError("--source: takes images and videos; record the stream first")
    explanation = explainer(frame)
    if folder is not None:
        if explanation.targets:
            save_both(draw_explanation(explanation), folder / result_stem(frame))
        write_more(frame, explainer, folder / result_stem(frame))
        if explainer.config.check and explanation.targets:
            write_check(frame, explainer, folder / result_stem(frame))
    if verbose:
        names = ", ".join(printable(target.name) for target in explanation.targets)
        print_anywhere(
            f"{frame.kind} {frame.item}/{frame.items} {printable(frame.path)}:"
            f" {names or 'nothing found to explain; lower --conf-thres'}"
        )
    return explanation


def write_more(frame: Frame, explainer: Explainer, place: Path) -> None:
    """Write the gates and feature maps of a frame where the flags ask for them.

    Args:
        frame: The image.
        explainer: The models and settings.
        place: Path of the results, without a suffix.
    """
    config = explainer.config
    for label, model in explainer.models.items():
        ending = f"_{file_name(label)}" if len(explainer.models) > 1 else ""
        x = subject_of(model, frame, config.imgsz).x if config.gates or config.features else None
        if config.gates and x is not None:
            modules = gates_of(model, x)
            if modules:
                save_both(
                    draw_gates(modules, label), place.with_name(f"{place.name}_gates{ending}")
                )
            else:
                print_anywhere(f"--gates: {printable(label)} has no attention module")
        if config.features and x is not None:
            write_features(model, x, place.with_name(f"{place.name}_features{ending}"))


def write_check(frame: Frame, explainer: Explainer, place: Path) -> None:
    """Test the map of the first model's first target, draw the result and print it."""
    label, model = next(iter(explainer.models.items()))
    subject = subject_of(model, frame, explainer.config.imgsz)
    result = check_map(model, subject.x, explainer.rows[label], explainer.config)
    if result is None:
        return
    save_both(draw_check(result, label), place.with_name(f"{place.name}_check"))
    for sentence in sentences_of(result):
        print_anywhere(f"  {sentence}")


def write_fields(frames: Sequence[Frame], explainer: Explainer, folder: Path) -> None:
    """Measure and draw the effective receptive fields of the maps that the heads read."""
    sides = explainer.config.imgsz or (USUAL_SIZE,)
    fields = {}
    for label, model in explainer.models.items():
        images = [subject_of(model, frame, sides).x for frame in frames]
        rows = choose_rows(model, ("head",), "class")
        side = whole_side(sides[0], side_step(model.stride))
        fields[label] = receptive_fields(model, images, rows, side)
        for one in fields[label]:
            held = ", ".join(
                f"{share:.0%} within {length} px"
                for share, length in zip(SHARES, one.sides, strict=True)
            )
            print_anywhere(f"receptive field of {printable(label)}, row {one.row}: {held}")
    save_both(draw_fields(fields, len(frames)), folder / "receptive_field")
