"""Print a graph: its rows with their costs and a verdict, its places, or what --lint finds.

python models/yolo.py --cfg models/yolov5s_SimAM.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from models.costs.profile import RowCost, count_costs, kept_by_rows, summary, time_rows, whole_size
from models.graph.info import row_info
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from models.graph.read import read_graph
from models.graph.scales import has_scales, title
from models.graph.sites import insert, sites_table
from models.graph.structure import unread_rows
from models.graph.values import GraphDict
from models.graph.write import write_graph
from models.lint.advice import remarks_on
from models.lint.command import run_lint
from models.yolo import DetectionModel
from utils.cli import build, flag, read_flags
from utils.device import select_device
from utils.errors import UserError, run_main
from utils.files import ROOT
from utils.flags import shared
from utils.text import printable

USUAL_GRAPH = "models/yolov5s.yaml"
HEADER = (
    f"{'row':>3} {'from':>18} {'n':>3} {'params':>11}  {'module':<38} {'arguments':<30}"
    f" {'output':>18} {'GFLOPs':>8} {'MB elementwise':>15}"
)


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

    def content(self) -> GraphDict:
        """The graph of --cfg with --attention inserted."""
        return insert(load_graph(self.cfg or USUAL_GRAPH, self.scale), self.attention)


def report_graph(config: BuildConfig) -> None:
    """Print one graph: a row per layer, totals, verdict. Raises UserError if it is not sound."""
    content = config.content()
    # Costs depend on shapes only, so the weights need no memory.
    with torch.device("meta"):
        model = DetectionModel(content)
    size = whole_size(config.imgsz, model)
    costs = count_costs(model, size, config.batch_size)
    lines = [HEADER, *row_lines(model, costs)]
    if config.profile:
        extras = measured_columns(DetectionModel(content), size, config)
        lines = [f"{line}  {extra}" for line, extra in zip(lines, extras, strict=True)]
    print(*lines, sep="\n")
    print(f"\n{summary(model, _name(model), costs)} at {size}x{size} px, batch {config.batch_size}")
    moved, elementwise = sum(cost.moved for cost in costs), sum(cost.elementwise for cost in costs)
    print(
        f"moved: {moved / 1e6:,.0f} MB in float32, {elementwise / 1e6:,.0f} MB of it elementwise,"
        " which GFLOPs do not count"
    )
    try:
        print(verdict(model))
    except UserError:
        # The warnings may explain the error, so they are printed before it.
        print(*remarks_on(model), sep="\n")
        raise


def report_all(config: BuildConfig) -> None:
    """Print a line for every graph below models/.

    A graph of several scales is built at --scale, or else at its first. Raises UserError at the end
    if a graph is not sound.
    """
    files = sorted((ROOT / "models").rglob("*.yaml"))
    bad = 0
    for file in files:
        try:
            content = load_graph(file)
            if has_scales(content):
                # Without a scale, read_graph would warn of the missing choice for each file.
                content["scale"] = (
                    config.scale or content.get("scale") or next(iter(content["scales"] or ()), "")
                )
            with torch.device("meta"):
                model = DetectionModel(content)
            costs = count_costs(model, whole_size(config.imgsz, model), config.batch_size)
            shown = f"{content['yaml_file']} {content.get('scale', '')}"
            print(
                f"{shown:42}{summary(model, _name(model), costs).partition(': ')[2]};"
                f" {verdict(model)}"
            )
        except UserError as error:
            # One unsound graph must not hide the state of the others.
            bad += 1
            print(f"{file.relative_to(ROOT)!s:42}not sound: {printable(error)}")
    print(f"{len(files) - bad} of {len(files)} graphs are sound")
    if bad:
        raise UserError(f"{bad} graphs are not sound; see the lines above")


def verdict(model: DetectionModel) -> str:
    """The line `sound`, with all warnings. Raises UserError for a row that no other row reads."""
    graph = read_graph(model.graph)
    for row in unread_rows(graph):
        raise graph.error(
            row.index,
            row.module,
            "no other row reads this row; read it, or remove it and adjust the rows after it",
        )
    return "\n".join(["verdict: the graph is sound", *remarks_on(model)])


def row_lines(model: DetectionModel, costs: list[RowCost]) -> Iterator[str]:
    """The model's rows as aligned lines under HEADER."""
    for info, cost in zip(map(row_info, model.model), costs, strict=True):
        yield (
            f"{info.index:>3} {info.source!s:>18} {info.repeats:>3} {info.parameters:>11,} "
            f" {info.module:<38} {info.arguments:<30} {cost.shape:>18} {cost.flops / 1e9:>8.3f}"
            f" {cost.elementwise / 1e6:>15.1f}"
        )


def measured_columns(model: DetectionModel, size: int, config: BuildConfig) -> list[str]:
    """Two more columns for the table of rows, measured on a real device.

    Args:
        model: to measure.
        size: side of the images, pixels.
        config: has the device and the number of images.

    Returns:
        A header, and for each row the milliseconds it takes in eval mode and the MB that it keeps
        for the backward pass of training.
    """
    device = select_device(config.device)
    model = model.to(device)
    x = torch.zeros(config.batch_size, model.graph["ch"], size, size, device=device)
    rows = zip(time_rows(model, x), kept_by_rows(model, x), strict=True)
    return [
        f"{'ms on ' + device.type:>12} {'MB kept':>9}",
        *(f"{ms:>12.2f} {kept / 1e6:>9.1f}" for ms, kept in rows),
    ]


def _name(model: DetectionModel) -> str:
    stem = Path(model.graph["yaml_file"]).name.removesuffix(".yaml")
    return title(stem, model.graph.get("scale", ""))


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns its exit status."""
    config = build(BuildConfig, read_flags(BuildConfig, argv, __doc__ or ""))
    use_modules(config.modules)
    if config.lint:
        return run_lint(config.lint, scale=config.scale, fix=config.fix, out=config.out)
    if config.sites:
        print(sites_table(config.content()))
    else:
        (report_all if config.all else report_graph)(config)
    if config.out:
        content = config.content()
        inserted = f" with {', '.join(config.attention)}" if config.attention else ""
        heading = f"{content['yaml_file']}{inserted}"
        print(f"written to {write_graph(content, config.out, heading)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
