"""Named places of a graph, and the insertion of attention modules there.

Graphs are dictionaries as load_graph (models/graph/load.py) returns them. An insertion adjusts
every `from`. models/graph/stages.py defines the names of stages. There are also:

    neck, neck.P4      behind each of the stages that the head reads, or behind one of them. Every
                       reader gets the new map.
    head.P4            between that stage and the head. Other rows still read the plain map.
    every C3           behind each row of that name
    inside C3          in each bottleneck of such rows, before its input is added, which is where
                       the papers of SE and CBAM put it
    index 9            behind row 9

Each may be written with dots too (every.C3). State-dict keys of base rows count base rows only,
so that their weights still fit after an insertion.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from models.graph.read import read_graph
from models.graph.request import Request, read_request
from models.graph.stages import Step, level_of, name_places, neck_source
from models.graph.structure import Graph, Row
from models.graph.trial import has_bottlenecks
from models.graph.values import GraphDict, shorten
from utils.errors import UserError

SiteKind = Literal["behind", "head", "inside"]
WrittenRows = list[list[object]]


@dataclass(frozen=True, slots=True)
class Site:
    """A named place where attention may go.

    Attributes:
        name: of the place.
        row: number of the row that it belongs to.
        kind: behind the row, between it and the head, or inside its bottlenecks.
        module: name of the row's block.
        stride: pixels of the image per cell there; nan where it is unknown.
    """

    name: str
    row: int
    kind: SiteKind
    module: str
    stride: float


@dataclass(slots=True)
class _Plan:
    """Attention to insert behind rows, between rows and the head, and inside rows.

    Rows have the numbers that they have before the insertion.
    """

    behind: dict[int, list[Request]] = field(default_factory=dict)
    ahead: dict[int, list[Request]] = field(default_factory=dict)
    inside: dict[int, Request] = field(default_factory=dict)


def find_sites(content: Mapping[str, object]) -> list[Site]:
    """All places of a graph, those with the names of stages first.

    Raises UserError for a graph that cannot be read.
    """
    return sites_of(read_graph(content))


def sites_of(graph: Graph) -> list[Site]:
    """All places of a graph that was read, those with the names of stages first."""
    steps = graph.steps[:-1]  # all but the head
    return [
        Site(name, row, kind, steps[row].module, steps[row].stride)
        for name, row, kind in _named(graph, steps)
        if row >= 0
    ]


def _named(graph: Graph, steps: Sequence[Step]) -> Iterator[tuple[str, int, SiteKind]]:
    """(name, row, kind) of every place among the steps, which are all rows but the head."""
    inputs = graph.rows[-1].inputs
    outputs = [neck_source(steps, row) for row in inputs]
    for name, row in name_places(steps).items():
        # The inputs of the head define neck.P4 and the like below. A stage of the upsampling pass
        # needs a name of its own only if the head does not read it.
        is_own = name.startswith("neck.topdown.") and row not in outputs
        if is_own or not name.startswith("neck."):
            yield name, row, "behind"
    results: tuple[tuple[str, SiteKind, Sequence[int]], ...] = (
        ("neck", "behind", outputs),
        ("head", "head", inputs),
    )
    for prefix, kind, rows in results:
        for row in rows:
            if row >= 0 and (level := level_of(steps[row].stride)):
                yield f"{prefix}.{level}", row, kind
    for step in steps:
        yield f"every {step.module}", step.index, "behind"
        if has_bottlenecks(graph, graph.rows[step.index]):
            yield f"inside {step.module}", step.index, "inside"
        yield f"index {step.index}", step.index, "behind"


def insert(content: Mapping[str, object], specs: str | Sequence[str], init: str = "") -> GraphDict:
    """The graph with attention at the named places; every `from` follows.

    Base rows keep their state-dict keys. A module inserted before one of its own kind takes over
    that one's key, so models/weights/transfer.py moves the weights along.

    Args:
        content: the graph, which is not changed.
        specs: such as "SimAM@neck" or "CBAM:reduction=8@backbone.P5+every.C3". All names and
            numbers refer to the graph before any insertion. Modules at one place follow each other
            in the order of specs.
        init: how the inserted modules start, paper or identity; "" leaves that to the graph.

    Returns:
        A new dictionary.

    Raises:
        UserError: A module, argument or place does not exist.
    """
    # All requests are planned before anything is inserted. Otherwise one would renumber the rows
    # that another names.
    requests = [read_request(spec, init) for spec in ([specs] if isinstance(specs, str) else specs)]
    if not requests:
        return dict(content)
    graph = read_graph(content)
    sites = sites_of(graph)
    plan = _Plan()
    for request in requests:
        wanted = [(site.row, site.kind) for site in _places_of(request, sites, graph.file)]
        for row, kind in dict.fromkeys(wanted):
            if kind == "inside":
                _plan_inside(plan, graph, row, request)
            else:
                (plan.ahead if kind == "head" else plan.behind).setdefault(row, []).append(request)
    new = copy.deepcopy(dict(content))
    backbone, head = (_written(new, part) for part in ("backbone", "head"))
    rows, boundary = _carry_out(plan, graph, [*backbone, *head], len(backbone))
    return {**new, "backbone": rows[:boundary], "head": rows[boundary:]}


def _written(content: Mapping[str, object], part: str) -> WrittenRows:
    """The rows of backbone or head as they are written, in a graph that read_graph accepts."""
    rows = content[part]
    assert isinstance(rows, list)
    return rows


def _plain(name: str) -> str:
    return re.sub(r"[\s.]+", ".", name.strip().lower())


def _places_of(request: Request, sites: Sequence[Site], file: str) -> list[Site]:
    """The sites that a request names; a group such as neck stands for all its members.

    Raises UserError listing the places that exist.
    """
    found: list[Site] = []
    for place in request.places:
        member = re.compile(rf"{re.escape(_plain(place))}(\.p\d+)?")
        here = [site for site in sites if _plain(site.name) == _plain(place)]
        here = here or [site for site in sites if member.fullmatch(_plain(site.name))]
        if not here:
            raise UserError(
                f"--attention {shorten(request.text)}: {file} has no place {shorten(place)!r}; "
                f"it has {known_places(sites)}"
            )
        found += here
    return found


def known_places(sites: Sequence[Site]) -> str:
    """The names of a graph's places on one line."""
    stages = dict.fromkeys(site.name for site in sites if " " not in site.name)
    words = [
        ", ".join(dict.fromkeys(site.name for site in sites if site.name.startswith(f"{word} ")))
        for word in ("every", "inside")
    ]
    last = max(site.row for site in sites)
    return ", ".join(filter(None, ["neck", "head", *stages, *words, f"index 0 to index {last}"]))


def _plan_inside(plan: _Plan, graph: Graph, row: int, request: Request) -> None:
    """Add attention inside a row to the plan.

    Raises UserError if the row has some already: there is room for one module.
    """
    inside = graph.rows[row].inside or {}
    present = plan.inside[row].module if row in plan.inside else inside.get("inside")
    if present:
        raise UserError(
            f"--attention {shorten(request.text)}: {graph.file}: row {row},"
            f" {graph.rows[row].module}, has {present} inside it already, and there is room for"
            " one; take one of them out"
        )
    plan.inside[row] = request


def _carry_out(
    plan: _Plan, graph: Graph, written: WrittenRows, backbone_rows: int
) -> tuple[WrittenRows, int]:
    """Insert the planned attention.

    Args:
        plan: by the numbers of rows before the insertion.
        graph: the graph before the insertion.
        written: its rows as they stand in the dictionary, parts of which are reused.
        backbone_rows: how many of them belong to the backbone.

    Returns:
        The new rows, and how many of them belong to the backbone.
    """
    new: WrittenRows = []
    moved: dict[int, int] = {}  # present number -> number of the row that now gives its map
    boundary = 0
    for row in graph.rows:
        ahead = _put_ahead(plan, new, moved) if row is graph.rows[-1] else {}
        _, number, module, arguments = written[row.index]
        if row.index in plan.inside:
            request = plan.inside[row.index]
            assert isinstance(arguments, list)
            arguments = [*arguments, {"inside": request.module, **request.arguments}]
        new.append([_new_source(row, {**moved, **ahead}, len(new)), number, module, arguments])
        new += [_attention_row(request, -1) for request in plan.behind.get(row.index, ())]
        moved[row.index] = len(new) - 1
        boundary = len(new) if row.index < backbone_rows else boundary
    return new, boundary


def _put_ahead(plan: _Plan, new: WrittenRows, moved: Mapping[int, int]) -> dict[int, int]:
    """Append the attention rows between stages and the head to the new rows.

    Returns, by the old number of each stage's row, the new number of the row that the head reads.
    """
    ahead: dict[int, int] = {}
    for source, requests in plan.ahead.items():
        for position, request in enumerate(requests):
            target = moved[source] if position == 0 else -1
            new.append(_attention_row(request, -1 if target == len(new) - 1 else target))
        ahead[source] = len(new) - 1
    return ahead


def _new_source(row: Row, moved: Mapping[int, int], index: int) -> int | list[int]:
    """A row's `from` in the new graph, in which the row has the number `index`.

    Negative numbers stay negative, so that the graph keeps the style it was written in.
    """
    targets = [moved.get(source, -1) for source in row.inputs]
    written = row.source if isinstance(row.source, list) else [row.source]
    numbers = [
        target - index if old < 0 and index else target
        for old, target in zip(written, targets, strict=True)
    ]
    return numbers if isinstance(row.source, list) else numbers[0]


def _attention_row(request: Request, source: int) -> list[object]:
    return [source, 1, request.module, copy.deepcopy(request.arguments)]


def sites_table(content: Mapping[str, object]) -> str:
    """A line for each row: its number, module, pixels per cell, and the names of its places."""
    sites = find_sites(content)
    lines = [f"{'row':>3}  {'module':<18} {'px/cell':>9}  places (and index ROW)"]
    for row in range(max(site.row for site in sites) + 1):
        here = [site for site in sites if site.row == row]
        names = ", ".join(site.name for site in here if not site.name.startswith("index "))
        lines.append(f"{row:>3}  {here[0].module:<18} {here[0].stride:>9g}  {names}")
    closing = "neck and head stand for all of their levels; see the head of models/graph/sites.py"
    return "\n".join([*lines, closing])
