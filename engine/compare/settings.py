"""The flags of compare.py, which takes the folders of runs first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from utils.cli import CommandLine, flag
from utils.errors import UserError, check_setting
from utils.flags import shared
from utils.sizes import LONGEST_SIDE

FORMATS = ("png", "pdf", "svg")
MOST_IMAGES = 4096  # of a batch that is timed


@dataclass(frozen=True)
class CompareConfig:
    """All flags of compare.py. Raises UserError for an impossible value, with the flag's name."""

    runs: tuple[str, ...] = flag(
        (),
        "folders of runs of train.py and val.py, and of YOLOv5's and Ultralytics' trainings; may "
        "also stand first, without --runs",
        kind=str,
        nargs="+",
    )
    labels: tuple[str, ...] = flag(
        (),
        "a name for each line of the figures, in the order in which they are printed; '' takes the "
        "folders' names",
        kind=str,
        nargs="+",
    )
    each: bool = flag(False, "show every run by itself; runs that differ in seed only are not one")
    width: float = flag(3.3, "width of the figures, inches; 3.3 is a column, 6.9 two")
    font_size: float = flag(8.0, "size of the figures' text, points")
    formats: tuple[str, ...] = flag(list(FORMATS), f"files of each figure: {', '.join(FORMATS)}")
    noplots: bool = shared("noplots")
    notime: bool = flag(False, "count parameters and GFLOPs, but measure no time")
    imgsz: int = flag(
        0,
        "side of the images for GFLOPs and time, pixels; 0 takes that of the runs",
        aliases=("--img", "--img-size"),
    )
    batch_size: int = flag(1, "images per batch that is timed", aliases=("--batch",))
    warmup: int = flag(10, "forward passes before time is measured")
    rounds: int = flag(50, "rounds of timing, each of which runs every network once")
    device: str = shared("device")
    modules: tuple[str, ...] = shared("modules")
    project: str = shared("project", "runs/compare")
    name: str = shared("name")
    exist_ok: bool = shared("exist_ok")

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise UserError(f"--formats {name}: is none of {', '.join(FORMATS)}")
        for name, value, least, most in (
            ("--width", self.width, 1, 40),
            ("--font-size", self.font_size, 3, 40),
            ("--imgsz", self.imgsz or 32, 32, LONGEST_SIDE),
            ("--batch-size", self.batch_size, 1, MOST_IMAGES),
            ("--warmup", self.warmup, 0, 10_000),
            ("--rounds", self.rounds, 1, 100_000),
        ):
            check_setting(least <= value <= most, name, value, f"must be {least} to {most}")


def runs_first(words: Sequence[str]) -> list[str]:
    """The words with --runs in front of those that stand before the first flag."""
    is_named = not words or words[0].startswith("-")
    return list(words) if is_named else ["--runs", *words]


COMPARE_LINE = CommandLine(
    CompareConfig, "Figures and tables of several runs, for a paper.", prepare=runs_first
)
