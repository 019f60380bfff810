"""The flags of benchmarks.py, which are YOLOv5's and the folder of the results."""

from __future__ import annotations

from dataclasses import dataclass

from engine.export.settings import MOST_IMAGES
from utils.cli import CommandLine, flag
from utils.errors import UserError
from utils.flags import shared
from utils.sizes import LONGEST_SIDE

MADE = "made"  # the value of --hard-fail without a number


@dataclass(frozen=True)
class BenchmarkConfig:
    """All flags of benchmarks.py. Raises UserError for an impossible value, with its flag's name"""

    weights: str = flag("", "checkpoint; '' takes the best.pt trained last")
    modules: tuple[str, ...] = shared("modules")
    data: str = flag("", "data set YAML; if left out the one the checkpoint was trained on")
    imgsz: int = flag(640, "side of the square images, pixels", aliases=("--img", "--img-size"))
    batch_size: int = flag(1, "images per batch, which most files fix", aliases=("--batch",))
    device: str = shared("device")
    workers: int | None = shared("workers")
    half: bool = flag(False, "weights, input and arithmetic of the files in half precision")
    test: bool = flag(False, "export only; score nothing")
    pt_only: bool = flag(False, "score the checkpoint only")
    hard_fail: str = flag(
        "",
        "end with status 1 if a file cannot be made or its mAP50-95 differs from the checkpoint's"
        " by more than 0.001; with a number also if any mAP50-95 is below it",
        nargs="?",
        const=MADE,
    )
    project: str = shared("project", "runs/benchmarks")
    name: str = shared("name")
    exist_ok: bool = shared("exist_ok")

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("--imgsz", self.imgsz, 32, LONGEST_SIDE),
            ("--batch-size", self.batch_size, 1, MOST_IMAGES),
        ):
            if not least <= value <= most:
                raise UserError(f"{name}={value}: must be {least} to {most}")
        if not 0 <= self.least_map <= 1:  # false for NaN too
            raise UserError(f"--hard-fail={self.hard_fail}: must be a share of 0 to 1, or nothing")

    @property
    def least_map(self) -> float:
        """The mAP50-95 that every format must reach, 0..1; raises UserError if it is no number."""
        try:
            return 0.0 if self.hard_fail in ("", MADE) else float(self.hard_fail)
        except ValueError:
            raise UserError(f"--hard-fail={self.hard_fail}: must be a number, or nothing") from None


BENCHMARK_LINE = CommandLine(BenchmarkConfig, "Export, score and time every format.")
