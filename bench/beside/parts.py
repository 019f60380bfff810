"""The parts of the comparison: training, validation, detection and start of the programs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench.beside.bench import EQUAL, PLAIN, Bench, GraphCase, Values
from bench.beside.comparison import RATE, Comparison
from bench.beside.process import CommandTiming
from bench.beside.programs import OURS, ULTRALYTICS, YOLOV5, Program, Request
from bench.beside.stage import make_film
from utils.errors import UserError

FEW = 16  # images or frames of the short runs, whose time is taken off that of the long ones


def train_part(bench: Bench) -> Iterator[Comparison]:
    """Trainings from scratch."""
    for case in bench.cases:
        for condition in bench.conditions:
            once = partial(train_once, bench, case, condition)
            yield from bench.compare(f"train {case}", condition, case.original, once)


def train_once(bench: Bench, case: GraphCase, condition: str, program: Program) -> Values:
    """One training.

    It validates after each epoch on a single image, since yolov5==7.0.14 stops with an error under
    --noval.
    """
    data = bench.stage(program, bench.images, 1)
    request: dict[str, object] = {
        "cfg": f"{case.graph}.yaml",
        "weights": "",
        "data": data / "data.yaml",
        "imgsz": case.imgsz,
        "batch-size": case.batch,
        "epochs": bench.epochs,
        "workers": bench.workers,
        "device": "cpu",
        "seed": 0,
        "nosave": True,
        "noplots": True,
    }
    timing = bench.run(program, "train", {**request, **conditions_of(bench, condition, program)})
    return training_values(timing, count_images(data / "images/train"))


def conditions_of(bench: Bench, condition: str, program: Program) -> Request:
    """The flags by which a program trains under a condition.

    The originals compute in float32 on a processor whatever they are told.
    """
    if condition == EQUAL:
        return {"cache": "ram", **({"precision": "fp32"} if program.name == OURS else {})}
    return {"precision": "fp32"} if program.name == OURS and bench.limited else {}


def training_values(timing: CommandTiming, images: int) -> Values:
    """What a training with this number of images in an epoch has taken.

    The first epoch (start, caches, loaders) and the last one (end of the run) are not counted. The
    start is the time from the command to the first batch: what the first epoch took more than the
    others.
    """
    seconds = [after - before for before, after in pairwise(timing.stamps[:-1])]
    if not seconds:
        raise UserError("a training ended without the rows of at least three epochs")
    usual = statistics.median(seconds)
    return {
        ("throughput", RATE): images / usual,
        ("until the first batch", "s"): timing.stamps[0] - usual,
        ("processor time", "s"): timing.processor,
        ("memory", "MB"): timing.memory,
    }


def val_part(bench: Bench) -> Iterator[Comparison]:
    """Validation of a checkpoint that the original program wrote."""
    for case in scored_cases(bench):
        once = partial(val_once, bench, case)
        yield from bench.compare(f"val {case}", PLAIN, case.original, once)


def scored_cases(bench: Bench) -> list[GraphCase]:
    """For each checkpoint the first graph of the same program."""
    firsts = {case.original: case for case in reversed(bench.cases)}
    return [
        firsts[original]
        for original in (YOLOV5, ULTRALYTICS)
        if original in firsts.keys() & bench.weights.keys()
    ]


def val_once(bench: Bench, case: GraphCase, program: Program) -> Values:
    """A validation of FEW images, and one of all."""

    def run(folder: Path) -> CommandTiming:
        request = {
            "weights": bench.weights[case.original],
            "data": folder / "data.yaml",
            "imgsz": case.imgsz,
            "batch-size": case.batch,
            "workers": bench.workers,
            "device": "cpu",
        }
        return bench.run(program, "val", request)

    folders = [bench.stage(program, 1, count) for count in (FEW, bench.images)]
    counts = [count_images(folder / "images/val") for folder in folders]
    return difference_values([run(folder) for folder in folders], counts)


def difference_values(timings: list[CommandTiming], counts: list[int]) -> Values:
    """What a short and a long run with so many images have taken.

    The difference of their times has no part of the start in it. On a busy machine it may be
    negative, which is no throughput.
    """
    few, many = timings
    seconds = many.wall - few.wall
    return {
        ("throughput", RATE): (counts[1] - counts[0]) / seconds if seconds > 0 else math.nan,
        ("whole command", "s"): many.wall,
        ("processor time", "s"): many.processor,
        ("memory", "MB"): many.memory,
    }


def count_images(folder: Path) -> int:
    return len(list(folder.iterdir()))


def detect_part(bench: Bench) -> Iterator[Comparison]:
    """Detection in a folder and in a film, with boxes drawn and the results written."""
    for case in scored_cases(bench):
        for what, sources in (("folder", folders_of), ("film", films_of)):
            once = partial(detect_once, bench, case, sources)
            title = f"detect in a {what}, {case.graph}, {case.imgsz} px"
            yield from bench.compare(title, PLAIN, case.original, once)


Sources = Callable[[Bench, Program], tuple[list[Path], list[int]]]


def detect_once(bench: Bench, case: GraphCase, sources: Sources, program: Program) -> Values:
    """A detection in a short and in a long source."""
    places, counts = sources(bench, program)
    timings = [bench.run(program, "detect", detection(bench, case, place)) for place in places]
    return difference_values(timings, counts)


def detection(bench: Bench, case: GraphCase, source: Path) -> Request:
    weights = bench.weights[case.original]
    return {"weights": weights, "source": source, "imgsz": case.imgsz, "device": "cpu"}


def folders_of(bench: Bench, program: Program) -> tuple[list[Path], list[int]]:
    """Folders of FEW and of all images, and their numbers of images."""
    places = [bench.stage(program, 1, count) / "images/val" for count in (FEW, bench.images)]
    return places, [count_images(place) for place in places]


def films_of(bench: Bench, program: Program) -> tuple[list[Path], list[int]]:
    """Films of FEW and of all frames, and their numbers of frames."""
    images = sorted((bench.stage(program, 1, bench.images) / "images/val").iterdir())
    counts = [FEW, bench.frames]
    places = [program.home / f"film{count}.mp4" for count in counts]
    for place, count in zip(places, counts, strict=True):
        if not place.exists():
            make_film(images, place, count)
    return places, counts


def start_part(bench: Bench) -> Iterator[Comparison]:
    """Short commands, which take little beside the start of the program."""
    for original in (YOLOV5, ULTRALYTICS):
        yield from bench.compare("train --help", "", original, partial(help_once, bench))
    for case in scored_cases(bench):
        once = partial(one_image_once, bench, case)
        title = f"detect in one image, {case.graph}, {case.imgsz} px"
        yield from bench.compare(title, PLAIN, case.original, once)


def help_once(bench: Bench, program: Program) -> Values:
    timing = bench.run_words(program, "help", program.help())
    return {("whole command", "s"): timing.wall, ("processor time", "s"): timing.processor}


def one_image_once(bench: Bench, case: GraphCase, program: Program) -> Values:
    image = min((bench.stage(program, 1, FEW) / "images/val").iterdir())
    timing = bench.run(program, "detect", detection(bench, case, image))
    return {("whole command", "s"): timing.wall, ("processor time", "s"): timing.processor}
