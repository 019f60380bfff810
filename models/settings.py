"""The flags of models/yolo.py, whose work models/command.py does."""

from __future__ import annotations

from dataclasses import dataclass

from utils.cli import CommandLine, flag
from utils.errors import UserError
from utils.flags import shared

USUAL_GRAPH = "models/yolov5s.yaml"


@dataclass(frozen=True)
class BuildConfig:
    """All flags of models/yolo.py.

    Raises UserError for an impossible value, with the flag's name.
    """

    cfg: str = flag("", f"graph to build, '' for {USUAL_GRAPH}")
    scale: str = flag(
        "",
        "scale of a graph that has several: n, s, m, l, x; '' takes the one in --cfg's name",
    )
    attention: tuple[str, ...] = flag(
        (), "modules to insert, such as SimAM@neck CBAM@backbone.P5", kind=str, nargs="+"
    )
    modules: tuple[str, ...] = shared("modules")
    out: str = flag("", "YAML file to write the graph to, with --attention inserted")
    sites: bool = flag(False, "list the places where --attention may insert modules, row by row")
    lint: tuple[str, ...] = flag(
        (), "graphs to check for mistakes that do not keep them from running", kind=str, nargs="+"
    )
    fix: bool = flag(
        False, "with --lint: write corrected copies, NAME_fixed.yaml beside each file, or --out"
    )
    imgsz: int = flag(
        640,
        "side of the images for which costs are counted, pixels",
        aliases=("--img", "--img-size"),
    )
    batch_size: int = flag(1, "images per batch")
    device: str = flag("", "device of --profile: 0, cpu, mps; '' chooses one")
    profile: bool = flag(
        False, "measure the milliseconds and the memory of each row", aliases=("--line-profile",)
    )
    all: bool = flag(
        False, "build every graph below models/ and print a line for each", aliases=("--test",)
    )

    def __post_init__(self) -> None:
        for name, largest in (("imgsz", 8192), ("batch_size", 1024)):
            if not 1 <= getattr(self, name) <= largest:
                raise UserError(
                    f"--{name.replace('_', '-')}={getattr(self, name)}: must be 1 to {largest}"
                )
        # A flag that is ignored silently would mislead, so contradicting flags are errors.
        for name in ("cfg", "attention", "out", "sites", "profile"):
            if self.all and getattr(self, name):
                raise UserError(
                    f"--{name}: is for one graph, but --all takes every graph; leave one of the two"
                    " out"
                )
        if self.sites and self.profile:
            raise UserError(
                "--profile: measures rows, but --sites only lists places; leave one of the two out"
            )
        if self.fix and not self.lint:
            raise UserError("--fix: corrects what --lint finds; add --lint FILE")
        for name in ("cfg", "attention", "sites", "all", "profile"):
            if self.lint and getattr(self, name):
                raise UserError(
                    f"--{name}: does not go with --lint, which only takes files; leave one of the"
                    " two out"
                )


GRAPH_LINE = CommandLine(
    BuildConfig,
    "Print a graph: its rows with their costs and a verdict, its places, or what --lint finds.",
)
