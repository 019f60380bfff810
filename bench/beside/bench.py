"""A comparison in the making: its programs and settings, their copies of the data, and the turns in
which they run.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.beside.comparison import Comparison
from bench.beside.process import CommandTiming, run_timed
from bench.beside.programs import OURS, ULTRALYTICS, YOLOV5, Program, Request
from bench.beside.stage import copy_dataset
from utils.errors import UserError

DEFAULTS, EQUAL, PLAIN = "own defaults", "float32, images in memory", "float32"
CONDITIONS = {"equal": EQUAL, "defaults": DEFAULTS}

Values = dict[tuple[str, str], float]  # by quantity and unit


def print_now(line: str) -> None:
    """Print a line even if the output is a file, which a stopped program would leave empty."""
    print(line, flush=True)


@dataclass(frozen=True)
class GraphCase:
    """A graph and the size of its input: yolov5n:320:16 is the name, pixels and batch size."""

    graph: str
    imgsz: int
    batch: int

    @classmethod
    def read(cls, text: str) -> GraphCase:
        """Raises UserError if the text has another form than the example."""
        name, *numbers = text.split(":")
        if not name or len(numbers) != 2 or not all(part.isdecimal() for part in numbers):
            raise UserError(f"--cases {text}: write NAME:PIXELS:BATCH, such as yolov5n:320:16")
        return cls(name, int(numbers[0]), int(numbers[1]))

    @property
    def original(self) -> str:
        """The program that this graph is of."""
        return YOLOV5 if "yolov5" in self.graph else ULTRALYTICS

    def __str__(self) -> str:
        return f"{self.graph}, {self.imgsz} px, batch {self.batch}"


@dataclass
class Bench:
    """What is to be measured, and with what.

    Attributes:
        programs: The programs by name.
        kind: The kind of processor, as the table's column says it.
        data: Data set YAML.
        cases: Graphs to train, and to score and to run where weights has a file of them.
        weights: Checkpoints that both programs read, by the name of the original.
        rounds, epochs, images, frames, workers: Turns of each program, epochs of a training,
            images and frames that are worked on, processes that load images.
        scanned: Number of images of the scan.
        conditions: Of EQUAL and DEFAULTS, those under which trainings are compared.
        limited: Whether instructions are withheld from oneDNN. PyTorch does not know that, so
            float32 must be asked for then.
        say: Receives a line before each run.
        lines: The last command line of each program, as the reader shall see it.
    """

    programs: dict[str, Program]
    kind: str
    data: str
    cases: list[GraphCase]
    weights: dict[str, str]
    rounds: int = 3
    epochs: int = 4
    images: int = 128
    frames: int = 500
    workers: int = 2
    scanned: int = 20_000
    conditions: tuple[str, ...] = (EQUAL, DEFAULTS)
    limited: bool = False
    say: Callable[[str], None] = print_now
    lines: dict[str, str] = field(default_factory=dict)

    def stage(self, program: Program, train: int, val: int) -> Path:
        """The folder of the program's own copy of the data with these numbers of images."""
        folder = program.home / f"data-{train}-{val}"
        if not folder.exists():
            copy_dataset(self.data, folder, train, val)
        return folder

    def run(self, program: Program, verb: str, request: Request) -> CommandTiming:
        """Run a program into a fresh folder; of a training, note when each epoch ended."""
        folder = program.home / "runs"
        shutil.rmtree(folder, ignore_errors=True)
        words = program.words(verb, {**request, "project": folder, "name": verb})
        return self.run_words(program, verb, words)

    def run_words(self, program: Program, verb: str, words: list[str]) -> CommandTiming:
        """Run a program by its command line."""
        self.say(f"  {program.name}: {verb}")
        self.lines[program.name] = program.shown(words)
        table = program.home / "runs" / verb / "results.csv" if verb == "train" else None
        return run_timed(program.command(words), program.home / f"{verb}.log", table)

    def last_line(self, program: Program, name: str, words: list[str]) -> str:
        """The last line that a program prints which measures itself."""
        self.run_words(program, name, words)
        return (program.home / f"{name}.log").read_text(errors="replace").splitlines()[-1]

    def compare(
        self, what: str, condition: str, original: str, measure: Callable[[Program], Values]
    ) -> Iterator[Comparison]:
        """Measure ours and an original in turn, round after round.

        Args:
            what, condition: What is done, and how.
            original: Name of the other program; where its Python was not given nothing is measured.
            measure: Runs a program once.
        """
        if original not in self.programs:
            return
        self.lines.clear()
        values: dict[tuple[str, str], list[list[float]]] = defaultdict(lambda: [[], []])
        for number in range(self.rounds):
            self.say(f"{what} ({condition}), turn {number + 1} of {self.rounds}")
            for side, name in enumerate((OURS, original)):
                for key, value in measure(self.programs[name]).items():
                    values[key][side].append(value)
        empty = Comparison(
            what, condition, "", "", original, self.kind, commands=[*self.lines.values()]
        )
        for (quantity, unit), (ours, theirs) in values.items():
            yield replace(empty, quantity=quantity, unit=unit, ours=ours, theirs=theirs)
