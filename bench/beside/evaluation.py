"""The evaluation without the network: bench/evaluation_speed.py in the table of all parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bench.beside.bench import Bench, Values
from bench.beside.comparison import Comparison
from bench.beside.programs import OURS, YOLOV5, Program
from utils.errors import UserError
from utils.files import ROOT

EVALUATED, MOST_DETECTIONS = 5000, 300  # images, and the most detections of an image
ALLOWED = 1e-4  # by which the programs' mAP50-95 may differ
SCRIPT = "bench/evaluation_speed.py"


def evaluation_part(bench: Bench) -> Iterator[Comparison]:
    """Matching, confusion matrix and scores of made-up detections, by both programs' functions."""
    scores: set[float] = set()
    once = partial(evaluation_once, bench, scores)
    title = f"evaluation of {EVALUATED:,} images, up to {MOST_DETECTIONS} detections each"
    yield from bench.compare(title, "without network and suppression", YOLOV5, once)


def evaluation_once(bench: Bench, scores: set[float], program: Program) -> Values:
    """One evaluation.

    Args:
        bench: The comparison.
        scores: mAP50-95 of all turns so far, which must agree.
        program: The program that evaluates.
    """
    ours = program.name == OURS
    start = ["-m", SCRIPT.removesuffix(".py").replace("/", ".")] if ours else [str(ROOT / SCRIPT)]
    flags = [f"--images={EVALUATED}", f"--max-det={MOST_DETECTIONS}"]
    side = "ours" if ours else "yolov5"
    root = {"PYTHONPATH": str(ROOT)} if ours else {}
    told = replace(program, environment=program.environment | root)
    words = [program.python, *start, f"--side={side}", *flags]
    seconds, used, score = json.loads(bench.last_line(told, "evaluation", words))
    scores.add(score)
    if max(scores) - min(scores) > ALLOWED:
        raise UserError(f"the programs score the same detections differently: {sorted(scores)}")
    return {("whole evaluation", "s"): seconds, ("processor time", "s"): used}
