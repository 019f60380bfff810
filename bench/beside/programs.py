"""The programs that are compared, and how each spells the same request.

Each runs with its own files, settings and caches: a folder is its home.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.beside.process import TimedCommand
from utils.files import ROOT

OURS, YOLOV5, ULTRALYTICS = "this project", "YOLOv5", "Ultralytics"
# YOLOv5 calls two functions that numpy 2.4 and Pillow 10 have removed. They are put back, since it
# would end in the middle of its work, or would not draw what it has found.
START_YOLOV5 = (
    "import runpy, numpy; from PIL.ImageFont import FreeTypeFont as Font;"
    " numpy.trapz = getattr(numpy, 'trapz', None) or numpy.trapezoid;"
    " Font.getsize = lambda font, text: font.getbbox(text)[2:];"
    " runpy.run_module('yolov5.{verb}', run_name='__main__', alter_sys=True)"
)
# Ultralytics computes with one thread less than there are cores, whatever OMP_NUM_THREADS says, so
# it is told of one core more than it shall use.
START_ULTRALYTICS = (
    "import os; os.cpu_count = lambda: {cores}; from ultralytics.cfg import entrypoint;"
    " entrypoint()"
)
ULTRALYTICS_NAMES = {"weights": "model", "cfg": "model", "batch-size": "batch"}

Request = Mapping[str, object]  # flags in YOLOv5's words without dashes; True for a bare flag


@dataclass
class Program:
    """One of the compared programs, spelled with YOLOv5's flags.

    Attributes:
        name: Its name in the tables.
        python: The Python that has it.
        home: Folder of its settings, its caches, its copy of the data and its runs.
        threads: Threads that it computes with.
        environment: Variables that it needs beside those of its home.
    """

    name: str
    python: str
    home: Path
    threads: int
    environment: dict[str, str] = field(default_factory=dict)

    def words(self, verb: str, request: Request) -> list[str]:
        """The command line for a verb, which is train, val or detect."""
        flags = [
            word
            for name, value in request.items()
            for word in ([f"--{name}"] if value is True else [f"--{name}", str(value)])
        ]
        return [*self.start(verb), *flags]

    def start(self, verb: str) -> list[str]:
        """The words that start a verb without any flag."""
        if self.name == OURS:
            return [self.python, str(ROOT / f"{verb}.py")]
        return [self.python, "-c", START_YOLOV5.format(verb=verb)]

    def help(self) -> list[str]:
        """The command that says what the training can be told."""
        return [*self.start("train"), "--help"]

    def shown(self, words: list[str]) -> str:
        """A command line for the reader: without this machine's folders and the words after -c."""
        if words[1] == "-c":
            words = [words[0], *self.module(words[2]), *words[3:]]
        line = shlex.join(["python", *words[1:]])
        return line.replace(f"{ROOT}/", "").replace(str(self.home), "HOME")

    def module(self, launch: str) -> list[str]:
        """The usual words for a start by -c; text that measures itself is left out."""
        verbs = re.findall(r"run_module\('yolov5\.(\w+)'", launch)
        return ["-m", f"yolov5.{verbs[0]}"] if verbs else ["-c", "..."]

    def command(self, words: list[str]) -> TimedCommand:
        """The words as a command in this program's home."""
        threads = {"OMP_NUM_THREADS": str(self.threads)}
        variables = {**isolated_home(self.home), **threads, **self.environment}
        return TimedCommand(tuple(words), self.home, variables)


@dataclass
class Ultralytics(Program):
    """Ultralytics, which has other words for the same: verbs, name=value, detect is predict."""

    def words(self, verb: str, request: Request) -> list[str]:
        values = {
            ULTRALYTICS_NAMES.get(name, name): value
            for name, value in request.items()
            if name not in ("nosave", "noplots", "exist-ok") and value != ""
        }
        values |= {"plots": False} if "noplots" in request else {}
        if verb == "detect":
            values["save"] = True  # it draws only when asked to; the others do unless forbidden
        return [*self.start(verb), *(f"{name}={value}" for name, value in values.items())]

    def start(self, verb: str) -> list[str]:
        launch = START_ULTRALYTICS.format(cores=self.threads + 1)
        return [self.python, "-c", launch, "detect", "predict" if verb == "detect" else verb]

    def help(self) -> list[str]:
        return [*self.start("train")[:3], "help"]

    def module(self, launch: str) -> list[str]:
        return ["-m", "ultralytics"]


def make_programs(
    pythons: Mapping[str, str | None], scratch: Path, threads: int, isa: str
) -> dict[str, Program]:
    """The programs whose Python is given, and ours.

    Args:
        pythons: The Python of each original program, or None.
        scratch: Folder for their homes.
        threads: Threads of each.
        isa: The newest instructions that oneDNN may use, as in ONEDNN_MAX_CPU_ISA; "" for all.
    """
    limit = {"ONEDNN_MAX_CPU_ISA": isa} if isa else {}
    pickled = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}  # their checkpoints are pickled models
    programs = {OURS: Program(OURS, sys.executable, scratch / "ours", threads, dict(limit))}
    kinds = {YOLOV5: Program, ULTRALYTICS: Ultralytics}
    for name, python in pythons.items():
        if python:
            home, path = scratch / name.lower(), str(Path(python).absolute())
            programs[name] = kinds[name](name, path, home, threads, limit | pickled)
    return programs


def isolated_home(folder: Path) -> dict[str, str]:
    """Environment variables that keep a program's settings and caches in a folder.

    The folder also gets the font that YOLOv5 would download otherwise.
    """
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    for place in (folder, folder / "Ultralytics", folder / ".config/Ultralytics"):
        if not (place / "Arial.ttf").exists():
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(font, place / "Arial.ttf")
    names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "YOLO_CONFIG_DIR", "MPLCONFIGDIR")
    places = (folder, folder / ".config", folder / ".cache", folder, folder / "matplotlib")
    return {name: str(place) for name, place in zip(names, places, strict=True)}
