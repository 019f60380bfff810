"""Trainings that a signal or a closed pipe stops, and that are continued to their end.

    python -m bench.faults.stops --count 20 --jobs 2

HUP, INT and TERM are sent at the same points: while Python imports, in the scan, before the first
batch, in an epoch, while a file is written, in a validation, at the end, twice within 2 ms, and to
the whole process group as a terminal does. PIPE stands for a reader of standard output that goes
away at these points. Each must give the conventional exit status, one line that says it and no
traceback; no batch may be lost, no process stay behind, and the continued training must end as one
that was left alone, bit for bit.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bench.faults.common import (
    Child,
    Ended,
    Row,
    count_texts,
    run_campaign,
    scratch_folder,
    spread,
    survivors,
    tally,
)
from bench.faults.compare import leftovers, unlike
from bench.faults.stage import Place, make_place, warm_up, write_stage
from bench.faults.victim import Instant, arm, count_calls, strike_self
from utils.files import ROOT

COUNT = 20  # points for each signal
SIGNALS = ("HUP", "INT", "TERM", "PIPE")
KINDS = ("status", "words", "traceback", "hung", "lost", "different", "left over", "left running")
BATCH = "train.to_device"  # called once for each batch
BATCHES = 4  # of an epoch
POINTS = (  # how the signal is sent, and when: seconds after the start, or an instant
    ("real", "0.3"),
    ("real", "1.2"),
    ("once", "data.scanning.load.list_split:1"),
    ("once", "data.scanning.load.list_split:2:after"),
    ("once", "train.train_epoch:1"),
    ("once", f"{BATCH}:1"),
    ("once", f"{BATCH}:7"),
    ("once", f"{BATCH}:12"),
    ("once", "torch.save:1"),
    ("once", "os.fsync:9"),
    ("once", "os.replace:8"),
    ("once", "train.validate:1"),
    ("once", "train.validate:3"),
    ("once", "train.finish_run:1"),
    ("once", "engine.training.finish.evaluate:1"),
    ("twice", f"{BATCH}:6"),
    ("twice", "torch.save:3"),
    ("twice", "train.validate:2"),
    ("group", f"{BATCH}:9"),
    ("group", "train.validate:2"),
)
PATIENCE_S = 60


@dataclass(frozen=True)
class Stop:
    """One stop: the signal, how it is sent and when, as in POINTS, and the run to compare with."""

    stage: Path
    reference: Path
    setting: str
    name: str
    how: str
    when: str

    def __str__(self) -> str:
        return f"{self.name} {self.how} at {self.when} ({self.setting})"


def stop_one(stop: Stop) -> list[str]:
    """Train, stop, continue; return the faults."""
    place = make_place(stop.stage, stop.setting)
    batches = place.logs / "batches"
    batches.touch()
    ended = _stopped_really(stop, place) if stop.how == "real" else _stopped(stop, place, batches)
    faults = said_wrong(stop, ended)
    if not (_is_early(stop) or place.last.exists()):
        faults.append("lost: nothing to resume")
    done = len(batches.read_text().split())
    if place.last.exists() and position(place.last) < done - 1:
        faults.append(f"lost: {done - position(place.last)} batches")
    end = place.finish(PATIENCE_S)
    if end.status and not end.is_finished:
        faults.append(f"different: refused to resume: {' '.join(end.messages[-1:])}")
    different = unlike(stop.reference, place.run)
    faults += [f"different: {', '.join(different[:3])}"] * bool(different)
    faults += [f"left over: {name}" for name in leftovers(place.folder)]
    left = survivors(8)
    faults += [f"left running: {left} processes"] * bool(left)
    return [f"{fault} [{stop}]" for fault in faults]


def _stopped(stop: Stop, place: Place, batches: Path) -> Ended:
    """Train until the stop strikes at its instant."""

    def prepare() -> None:
        arm(Instant.parse(stop.when), partial(strike_self, stop.name, stop.how))
        count_calls((BATCH,), batches)  # last, so that the batch of a stop is counted before it

    if stop.name != "PIPE":
        return place.start(place.words(), prepare).wait(PATIENCE_S)
    # Python's own end flushes standard output, so this is no matter for a forked process.
    flags = ["--at", stop.when, "--send", "PIPE", "--how", stop.how, "--count", BATCH, str(batches)]
    words = ["-m", "bench.faults.victim", *flags, "--", *place.words()]
    return Child(partial(_become, place, words), place.logs).wait(PATIENCE_S)


def _become(place: Place, words: Sequence[str], output: int = 1) -> None:
    """Let this process go on as Python with these arguments, in the place of a training."""
    os.chdir(place.folder)
    os.dup2(output, 1)
    os.environ.update(YOLO_CACHE_DIR=str(place.folder / "cache"), PYTHONPATH=str(ROOT))
    os.execv(sys.executable, [sys.executable, *words])


def _stopped_really(stop: Stop, place: Place) -> Ended:
    """Start python train.py, and stop it some seconds later; PIPE as `| head -1` does."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, stop.name == "PIPE")
    words = [str(ROOT / "train.py"), *place.words()]
    output = writer if stop.name == "PIPE" else 1
    child = Child(partial(_become, place, words, output), place.logs)
    os.close(writer)
    if stop.name == "PIPE":
        os.read(reader, 1)
    else:
        time.sleep(float(stop.when))
        child.kill(signal.Signals[f"SIG{stop.name}"])
    os.close(reader)
    return child.wait(PATIENCE_S)


def said_wrong(stop: Stop, ended: Ended) -> list[str]:
    """The faults in how a stopped training ended."""
    faults = []
    expected = 128 + signal.Signals[f"SIG{stop.name}"]
    if ended.limit:
        return [f"hung: beyond {PATIENCE_S} s"]
    if ended.status != expected:
        faults.append(f"status: {ended.status} instead of {expected}")
    if ended.exception:
        faults.append(f"traceback: {ended.exception[:120]}")
    lines = [*ended.out.splitlines()[-1:], *ended.messages]
    # Where the run was finished before it stopped, there is nothing to go on with.
    words = ("--resume", "interrupted", "the run is finished")
    saying = [line for line in lines if any(part in line for part in words)]
    is_deaf = stop.name == "PIPE" and stop.how == "twice"
    if not (saying or _is_early(stop) or is_deaf):
        faults.append("words: none on how to go on")
    if len(ended.messages) > 1:
        faults.append(f"words: {len(ended.messages)} lines, {' | '.join(ended.messages)[:200]}")
    return faults


def _is_early(stop: Stop) -> bool:
    """Whether it comes before there is anything to continue."""
    return stop.how == "real" or stop.when.startswith("data.scanning")


def position(last: Path) -> int:
    """The number of batches after which a checkpoint was written."""
    training = torch.load(last, map_location="cpu", weights_only=True)["training"]
    if training is None:
        return sys.maxsize
    return int(training["progress"]["epoch"] * BATCHES + training["progress"]["batch"])


def campaign(count: int, seed: int, jobs: int) -> list[Row]:
    """Stop trainings by each signal.

    Args:
        count: Points of POINTS for each signal, evenly chosen.
        seed: Chooses the first point.
        jobs: Trainings at a time.

    Returns:
        A row for each signal.
    """
    warm_up()
    settings = ("v5", "v8, a worker")
    with scratch_folder() as stage:
        write_stage(stage)
        references = [make_place(stage, setting) for setting in settings]
        for place in references:
            place.finish()
        chosen = [(seed + i * len(POINTS) // count) % len(POINTS) for i in range(count)]
        stops = [
            Stop(stage, references[kind].run, settings[kind], name, how, when)
            for name in SIGNALS
            for number in chosen
            for how, when in POINTS[number : number + 1]
            for kind in [1 if how == "group" else number % 2]
        ]
        found = list(spread(_named, stops, jobs))
    for line in count_texts([fault for _, faults in found for fault in faults]):
        print(line)
    return [
        {"signal": name, "stops": count, **tally([f for one, f in found if one == name], KINDS)}
        for name in SIGNALS
    ]


def _named(stop: Stop) -> tuple[str, list[str]]:
    return stop.name, stop_one(stop)


def main(argv: Sequence[str] | None = None) -> int:
    return run_campaign(campaign, COUNT, argv)


if __name__ == "__main__":
    sys.exit(main())
