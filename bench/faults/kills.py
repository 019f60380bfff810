"""Trainings that SIGKILL ends at random moments and at writes, and that are continued to their end.

    python -m bench.faults.kills --count 200 --at-write 60 --jobs 2

Each is killed up to three times: the main process, a worker, one of two processes, or both with
their launcher; at a write it is killed before or after a rename, a link or an fsync, or when half
of the file is written. It is continued from its last.pt, or started anew if there is none. In the
end its checkpoints, results.csv, metrics.json (without clocks) and settings must be those of a run
that was left alone, bit for bit, and nothing temporary may be left, neither files nor processes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.faults.common import (
    Child,
    Ended,
    Row,
    children_of,
    count_texts,
    run_campaign,
    scratch_folder,
    spread,
    survivors,
    tally,
)
from bench.faults.compare import leftovers, unlike
from bench.faults.stage import SETTINGS, Place, make_place, warm_up, write_stage
from bench.faults.victim import WRITES, Instant, arm, count_calls, strike_self

COUNT = 200
MOST_KILLS = 3
KINDS = ("different", "left over", "refused", "traceback", "hung", "left running")
PATIENCE_S = 60  # for a run, which takes less than a second


@dataclass(frozen=True)
class Reference:
    """A training that was left alone.

    Attributes:
        place: Where it was.
        seconds: How long it took.
        instants: The instants of its writes.
    """

    place: Place
    seconds: float
    instants: tuple[Instant, ...]


@dataclass(frozen=True)
class Trial:
    """One training to kill, at writes or at random moments; seed and number choose them."""

    stage: Path
    reference: Reference
    at_write: bool
    seed: int
    number: int


@dataclass
class Course:
    """What happened to one training.

    Attributes:
        setting: Its setting.
        kills, resumed, anew: How often it was killed, continued, and started anew.
        faults: What was not as it must be, each as KIND: detail.
    """

    setting: str
    kills: int = 0
    resumed: int = 0
    anew: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, ended: Ended, is_killed: bool) -> None:
        """Note what must not occur in any process, killed or not."""
        if ended.exception:
            self.faults.append(f"traceback: {_without_numbers(ended.exception)[:150]}")
        if ended.limit:
            self.faults.append(f"hung: beyond {PATIENCE_S} s after {self.kills} kills")
        if not is_killed and ended.status and not ended.is_finished:
            said = " ".join(ended.messages[-1:])[:200]
            self.faults.append(f"refused: status {ended.status}, {said}")


def make_reference(stage: Path, setting: str) -> Reference:
    """Train twice without a fault. Raises RuntimeError if the two are unlike or one fails."""
    first, second = (make_place(stage, setting) for _ in range(2))
    record = first.logs / "calls"
    record.touch()
    ends = [
        first.start(first.words(), partial(count_calls, WRITES, record)).wait(PATIENCE_S),
        second.start(second.words()).wait(PATIENCE_S),
    ]
    if any(end.status for end in ends):
        raise RuntimeError(f"{setting}: no reference: {ends[0].err} {ends[1].err}")
    different = unlike(first.run, second.run)
    if different:
        raise RuntimeError(f"{setting}: two references differ: {different}")
    names = record.read_text().split()
    instants = [
        Instant(name, call + 1, phase)
        for name in WRITES
        for call in range(names.count(name))
        for phase in (("before", "half", "after") if name == "os.fsync" else ("before", "after"))
    ]
    return Reference(first, ends[1].seconds, tuple(instants))


def try_one(trial: Trial) -> Course:
    """Train, kill and continue until the training has ended."""
    place = make_place(trial.stage, trial.reference.place.setting)
    course, draw = Course(place.setting), random.Random(f"{trial.seed} {trial.number}")
    for _ in range(draw.randint(1, MOST_KILLS)):
        _count_start(course, place)
        ended, is_killed = _strike(trial, place, draw)
        course.kills += is_killed
        course.note(ended, is_killed)
        if not is_killed:
            break
    ended = place.finish(PATIENCE_S)
    if not ended.is_finished:  # else the last kill came after the end
        _count_start(course, place)
        course.note(ended, is_killed=False)
    different = unlike(trial.reference.place.run, place.run)
    course.faults += [f"different: {', '.join(different[:3])}"] * bool(different)
    course.faults += [f"left over: {_without_numbers(name)}" for name in leftovers(place.folder)]
    left = survivors(8)
    course.faults += [f"left running: {left} processes"] * bool(left)
    return course


def _count_start(course: Course, place: Place) -> None:
    if place.last.exists():
        course.resumed += course.kills > 0
    else:
        course.anew += course.kills > 0


def _without_numbers(name: str) -> str:
    return re.sub(r"(?:[0-9a-f]*\d)+", "#", name)


def _strike(trial: Trial, place: Place, draw: random.Random) -> tuple[Ended, bool]:
    """Start or continue the training and kill it; also return whether that came before its end."""
    words = place.next_words()
    if trial.at_write:
        instant = draw.choice(trial.reference.instants)
        child = place.start(words, partial(arm, instant, partial(strike_self, "KILL")))
        ended = child.wait(PATIENCE_S)
        return ended, ended.status == 128 + signal.SIGKILL
    child = place.start(words)
    is_late = child.ended_within(draw.uniform(0, trial.reference.seconds))
    if not is_late:
        _kill(child, place, draw)
    return child.wait(PATIENCE_S), not is_late


def _kill(child: Child, place: Place, draw: random.Random) -> None:
    """Kill the training's main process, or one of its processes, or all of them."""
    victims: list[int] = []
    if place.setting == "two processes":
        victims = [int(path.read_text() or 0) for path in child.files[1].parent.glob("rank?")]
    elif draw.random() < 0.25:
        victims = children_of(child.pid)
    if victims and all(victims) and draw.random() < 0.67:
        with suppress(ProcessLookupError):
            os.kill(draw.choice(victims), signal.SIGKILL)
    else:
        child.kill(group=True)


def campaign(count: int, seed: int, jobs: int, at_write: int | None = None) -> list[Row]:
    """Kill trainings in all settings.

    Args:
        count: Trainings to kill at random moments.
        seed: Chooses the moments.
        jobs: Trainings at a time.
        at_write: Trainings to kill at writes; None is 30 % of count.

    Returns:
        A row for each setting.
    """
    warm_up()
    writes = round(0.3 * count) if at_write is None else at_write
    with scratch_folder() as stage:
        write_stage(stage)
        references = [make_reference(stage, setting) for setting in SETTINGS]
        trials = [
            Trial(stage, references[number % len(references)], number >= count, seed, number)
            for number in range(count + writes)
        ]
        courses = list(spread(try_one, trials, jobs))
    for line in count_texts([f"{one.setting}: {text}" for one in courses for text in one.faults]):
        print(line)
    return [_row(name, [one for one in courses if one.setting == name]) for name in SETTINGS]


def _row(setting: str, courses: Sequence[Course]) -> Row:
    return {
        "setting": setting,
        "trainings": len(courses),
        "kills": sum(one.kills for one in courses),
        "resumed": sum(one.resumed for one in courses),
        "anew": sum(one.anew for one in courses),
        **tally([one.faults for one in courses], KINDS),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], add_help=False)
    parser.add_argument("--at-write", type=int, default=None)
    flags, rest = parser.parse_known_args(argv)
    return run_campaign(partial(campaign, at_write=flags.at_write), COUNT, rest)


if __name__ == "__main__":
    sys.exit(main())
