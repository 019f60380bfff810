"""Print a graph: its rows with their costs and a verdict, its places, or what --lint finds.

python models/yolo.py --cfg models/yolov5s_SimAM.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from models.costs.profile import RowCost, count_costs, kept_by_rows, summary, time_rows, whole_size
from models.graph.info import row_info
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from models.graph.read import read_graph
from models.graph.scales import has_scales, title
from models.graph.sites import insert, sites_table
from models.graph.structure import refuse_unread
from models.graph.values import GraphDict
from models.graph.write import write_graph
from models.lint.advice import remarks_on
from models.lint.command import run_lint
from models.settings import GRAPH_LINE, USUAL_GRAPH, BuildConfig
from models.yolo import DetectionModel
from utils.cli import build
from utils.device import take_device
from utils.errors import UserError, run_main
from utils.files import ROOT
from utils.text import counted, printable

HEADER = (
    f"{'row':>3} {'from':>18} {'n':>3} {'params':>11}  {'module':<38} {'arguments':<30}"
    f" {'output':>18} {'GFLOPs':>8} {'MB elementwise':>15}"
)


def content_of(config: BuildConfig) -> GraphDict:
    """The graph of --cfg with --attention inserted."""
    return insert(load_graph(config.cfg or USUAL_GRAPH, config.scale), config.attention)


def report_graph(config: BuildConfig) -> None:
    """Print one graph: a row per layer, totals, verdict. Raises UserError if it is not sound."""
    content = content_of(config)
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
    print(f"{len(files) - bad} of {counted(len(files), 'graph')} sound")
    if bad:
        raise UserError(f"{counted(bad, 'graph')} not sound; see the lines above")


def verdict(model: DetectionModel) -> str:
    """The line `sound`, with all warnings. Raises UserError for a row that no other row reads."""
    refuse_unread(read_graph(model.graph))
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
    device = take_device(config.device)
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
    config = build(BuildConfig, GRAPH_LINE.read(argv))
    use_modules(config.modules)
    if config.lint:
        return run_lint(config.lint, scale=config.scale, fix=config.fix, out=config.out)
    if config.sites:
        print(sites_table(content_of(config)))
    else:
        (report_all if config.all else report_graph)(config)
    if config.out:
        content = content_of(config)
        inserted = f" with {', '.join(config.attention)}" if config.attention else ""
        heading = f"{content['yaml_file']}{inserted}"
        print(f"written to {write_graph(content, config.out, heading)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
