"""Trainings on a disk that is full or read-only, continued when it can be written again.

    python -m bench.faults.disk --count 30 --jobs 2

Each training runs on a file system of its own in memory (tmpfs), which is smaller than what the run
needs, or which is mounted read-only at a moment of the run; some also meet a full disk behind
standard output, as /dev/full. So all writers meet the real errors of the kernel, torch's,
TensorBoard's, Matplotlib's and OpenCV's too. Each training must end with exit status 2 and one line
on standard error; continued, it must end as one that was left alone, bit for bit.

Mounting needs root; `unshare --map-root-user --mount python -m …` gives it to anybody.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.faults.common import (
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
from bench.faults.victim import Instant, arm
from engine.training.lock import FolderLock
from utils.errors import UserError, run_main

COUNT = 30  # sizes
KINDS = ("status", "words", "traceback", "hung", "different", "left over", "left running")
SETTINGS_TRIED = ("v5", "v8, a worker")
MOMENTS = (  # of read-only disks: no file is open for writing then, which the kernel demands
    "train.train:1",
    "train.train_epoch:1",
    "train.to_device:3",
    "train.to_device:9",
    "train.validate:1",
    "train.validate:3",
    "train.finish_run:1",
    "os.replace:4:before",
    "os.replace:7:before",
    "os.replace:10:before",
)
PAGE = 4096
PLENTY = "64m"
PATIENCE_S = 120  # with charts a run takes some seconds


@dataclass(frozen=True)
class DiskFault:
    """One fault.

    Attributes:
        stage: The folder of data and graphs.
        reference: A place where the same run was left alone.
        kind: "full", "read-only", or "standard output".
        where: Pages of the disk, or the moment at which it becomes read-only, or the device.
    """

    stage: Path
    reference: Place
    kind: str
    where: str

    def __str__(self) -> str:
        charts = "" if self.reference.more else ", with charts"
        return f"{self.kind} at {self.where} ({self.reference.setting}{charts})"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system in memory of this size. Raises UserError if it cannot be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"{folder}: no file system can be mounted there ({done.stderr.strip()}); start with"
            " `unshare --map-root-user --mount`"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change how a file system is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def hide_tensorboard() -> None:
    """Let this process not find TensorBoard, whose open file forbids a read-only remount."""
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]


def lock_nothing() -> None:
    """Let this process open no file to lock a run's folder, for the same reason."""
    for name in ("__init__", "close"):
        setattr(FolderLock, name, lambda *_: None)


def pages_of(folder: Path) -> int:
    """The pages that a run needs: those of its files, and of the largest one a second time."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // PAGE) for size in sizes) + max(sizes) // PAGE + 1


def try_fault(fault: DiskFault) -> tuple[str, list[str]]:
    """Train with a fault of the disk, and continue without it; return its kind and what was wrong.

    A training that fits into a small disk has to end well.
    """
    place = make_place(fault.stage, fault.reference.setting, fault.reference.more)
    size = f"{int(fault.where) * PAGE}" if fault.kind == "full" else PLENTY
    with small_disk(place.folder, size):
        ended = _meet(fault, place)
        wrong = ended_wrong(ended)
        remount(place.folder, f"rw,size={PLENTY}")
        end = place.finish(PATIENCE_S)
        if end.status and not end.is_finished:
            wrong.append(f"different: refused to resume: {' '.join(end.messages[-1:])}")
        different = unlike(fault.reference.run, place.run)
        wrong += [f"different: {', '.join(different[:3])}"] * bool(different)
        wrong += [f"left over: {name}" for name in leftovers(place.folder)]
        left = survivors(8)
    wrong += [f"left running: {left} processes"] * bool(left)
    return fault.kind, [f"{text} [{fault}]" for text in wrong]


def _meet(fault: DiskFault, place: Place) -> Ended:
    """Train until the fault ends it."""

    def prepare() -> None:
        if fault.kind == "read-only":
            hide_tensorboard()
            lock_nothing()
            arm(Instant.parse(fault.where), partial(remount, place.folder, "ro"))

    out = fault.where if fault.kind == "standard output" else None
    return place.start(place.words(), prepare, out).wait(PATIENCE_S)


def ended_wrong(ended: Ended) -> list[str]:
    """What is wrong with the end of a training that could not write: more or less than one line."""
    if ended.limit:
        return [f"hung: beyond {PATIENCE_S} s"]
    if ended.status == 0 and not ended.messages:
        return []  # all that was written had room
    wrong = []
    if ended.status != 2:
        wrong.append(f"status: {ended.status} instead of 2")
    if ended.exception:
        wrong.append(f"traceback: {ended.exception[:120]}")
    if len(ended.messages) != 1 or not ended.messages[0].startswith("error: "):
        wrong.append(f"words: {len(ended.messages)} lines, {' | '.join(ended.messages)[-200:]}")
    return wrong


def faults_of(stage: Path, count: int) -> list[DiskFault]:
    """The faults: this number of sizes, a third as many moments, and standard output."""
    plain = [make_place(stage, setting) for setting in SETTINGS_TRIED]
    charts = make_place(stage, "v5", ())
    places = [plain[0], plain[1], charts]
    for place in places:
        ended = place.finish(PATIENCE_S)
        if ended.status:
            raise RuntimeError(f"no reference: {ended.err}")
    sizes = []
    for number in range(count):
        place = places[number % len(places)]
        pages = 1 + pages_of(place.folder) * number // count
        sizes.append(DiskFault(stage, place, "full", str(pages)))
    moments = [MOMENTS[i * len(MOMENTS) // max(count // 3, 1)] for i in range(count // 3)]
    return [
        *sizes,
        *(DiskFault(stage, plain[i % 2], "read-only", when) for i, when in enumerate(moments)),
        *(DiskFault(stage, place, "standard output", "/dev/full") for place in plain),
    ]


def campaign(count: int, seed: int, jobs: int) -> list[Row]:
    """Let trainings meet full and read-only disks.

    Args:
        count: Number of sizes; there are a third as many moments for a disk to become read-only.
        seed: Not used, since the sizes are spread evenly.
        jobs: Trainings at a time.

    Returns:
        A row for each kind.
    """
    warm_up()
    with scratch_folder() as stage:
        write_stage(stage)
        faults = faults_of(stage, count)
        found = list(spread(try_fault, faults, jobs))
    for line in count_texts([text for _, texts in found for text in texts]):
        print(line)
    cases = {kind: [texts for one, texts in found if one == kind] for kind, _ in found}
    return [
        {"disk": kind, "trainings": len(texts), **tally(texts, KINDS)}
        for kind, texts in cases.items()
    ]


def main(argv: Sequence[str] | None = None) -> int:
    return run_campaign(campaign, COUNT, argv)


if __name__ == "__main__":
    sys.exit(run_main(main))
