"""Attention anywhere by name: the places of a graph, and putting modules there with every reference
moved.

Graphs are dictionaries as models/graph/read.py's load_graph gives them; nothing is built.
models/graph/stages.py says which row a name of a stage means. On top of its names:

    neck, neck.P4      behind each of the stages, or the one, that the head reads; every reader gets the new map
    head.P4            between that stage and the head; other rows go on reading the plain map
    every C3           behind each row of that name
    inside C3          in each bottleneck of such rows, before its input is added (where SE's and CBAM's papers put it)
    index 9            behind row 9

Each may be written with dots (every.C3) too. Keys of base rows count base rows only, so their
weights still fit.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.attention import ATTENTION, ATTENTION_INITS, closest, options
from models.graph.read import Graph, read_graph
from models.graph.stages import Step, factor_of, level_of, neck_source, places, stride_after
from models.graph.values import as_number, shorten
from utils.errors import UserError

HAVING_BOTTLENECKS = (
    "Bottleneck",
    "GhostBottleneck",
    "CrossConv",
    "C3",
    "C3x",
    "C3Ghost",
    "BottleneckCSP",
    "C2",
    "C2f",
    "C3k",
    "C3k2",
)
CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True, slots=True)
class Site:
    """A named place: behind `row`, or in its bottlenecks (kind inside), or between it and the head
    (kind head).

    stride: pixels per cell there; nan where the rows do not say.
    """

    name: str
    row: int
    kind: str
    module: str
    stride: float


@dataclass(frozen=True, slots=True)
class Request:
    """What `SimAM:e_lambda=1e-4@neck.P3+index.9` asks for."""

    text: str
    module: str
    arguments: dict[str, Any]
    places: tuple[str, ...]


@dataclass(slots=True)
class _Plan:
    """Attention to be put behind rows, between rows and the head, and inside rows, by the rows'
    present numbers.
    """

    behind: dict[int, list[Request]] = field(default_factory=dict)
    ahead: dict[int, list[Request]] = field(default_factory=dict)
    inside: dict[int, Request] = field(default_factory=dict)


def find_sites(content: Mapping[str, Any]) -> list[Site]:
    """All places of a graph, those with the names of stages first.

    Raises UserError for a graph that cannot be read.
    """
    graph = read_graph(content)
    steps = steps_of(graph, len(content["backbone"]))[:-1]  # all but the head
    return [
        Site(name, row, kind, steps[row].module, steps[row].stride)
        for name, row, kind in _named(steps, graph.rows[-1].inputs)
        if row >= 0
    ]


def steps_of(graph: Graph, backbone_rows: int) -> list[Step]:
    """The graph's rows with their strides, of which so many are the backbone's."""
    steps: list[Step] = []
    for row in graph.rows:
        stride = stride_after(steps, row.inputs, factor_of(row.module, row.arguments, row.repeats))
        kind = (row.index < backbone_rows, row.module in ATTENTION)
        steps.append(Step(row.index, row.module, row.inputs, stride, *kind))
    return steps


def _named(steps: Sequence[Step], head_inputs: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """(name, row, kind) of every place."""
    outputs = [neck_source(steps, row) for row in head_inputs]
    for name, row in places(steps).items():
        if not name.startswith("neck.") or (
            name.startswith("neck.topdown.") and row not in outputs
        ):
            yield name, row, "behind"
    for prefix, kind, rows in (("neck", "behind", outputs), ("head", "head", head_inputs)):
        for row in rows:
            if row >= 0 and (level := level_of(steps[row].stride)):
                yield f"{prefix}.{level}", row, kind
    for step in steps:
        yield f"every {step.module}", step.index, "behind"
        if step.module in HAVING_BOTTLENECKS:
            yield f"inside {step.module}", step.index, "inside"
        yield f"index {step.index}", step.index, "behind"


def insert(
    content: Mapping[str, Any], specs: str | Sequence[str], init: str = ""
) -> dict[str, Any]:
    """The graph with attention at the named places, as a new dictionary; every `from` follows.

    specs: such as "SimAM@neck" or "CBAM:reduction=8@backbone.P5+every.C3"; all names and numbers
    mean the graph as it is given, whatever else is put in. Modules at one place follow each other
    in the order of specs. init: paper or identity, how what is put in starts, "" as the graph says.
    Base rows keep their state-dict keys; a module that comes before one of its own kind takes that
    one's key, so weights are moved by models/weights/transfer.py. Raises UserError for a module,
    argument or place that does not exist.
    """
    requests = [read_request(spec, init) for spec in ([specs] if isinstance(specs, str) else specs)]
    if not requests:
        return dict(content)
    graph, sites = read_graph(content), find_sites(content)
    plan = _Plan()
    for request in requests:
        for row, kind in dict.fromkeys(
            (site.row, site.kind) for site in _places_of(request, sites, graph.file)
        ):
            if kind == "inside":
                _plan_inside(plan, graph, row, request)
            else:
                (plan.ahead if kind == "head" else plan.behind).setdefault(row, []).append(request)
    rows, backbone_rows = _carry_out(
        plan, graph, [*content["backbone"], *content["head"]], len(content["backbone"])
    )
    return {
        **copy.deepcopy(dict(content)),
        "backbone": rows[:backbone_rows],
        "head": rows[backbone_rows:],
    }


def read_request(text: str, init: str = "") -> Request:
    """Parse `Name:argument=value,…@place+place`.

    Raises UserError for what is not of this form, or not known.
    """
    where = f"--attention {shorten(text)}"
    what, at, wanted = text.rpartition("@")
    name, _, listed = what.partition(":")
    if not at or not wanted.strip() or not name.strip():
        raise UserError(
            f"{where}: write module@place, such as SimAM@neck or"
            " CBAM:reduction=8@backbone.P5+index.9"
        )
    name = name.strip()
    if name not in ATTENTION:
        raise UserError(
            f"{where}: {name}: no such attention module{closest(name, sorted(ATTENTION))}"
        )
    arguments: dict[str, Any] = {}
    known = [*options(ATTENTION[name]), "init"]
    for part in filter(None, listed.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in known:
            raise UserError(
                f"{where}: {shorten(part)}: {name} takes argument=value, with {', '.join(known)}"
            )
        if key in arguments:
            raise UserError(f"{where}: {key}: stands twice; leave one of them out")
        arguments[key] = CONSTANTS.get(value.lower(), as_number(value))
    if init:
        arguments.setdefault("init", init)
    if arguments.get("init", ATTENTION_INITS[0]) not in ATTENTION_INITS:
        raise UserError(
            f"{where}: init={arguments['init']}: must be {' or '.join(ATTENTION_INITS)}"
        )
    return Request(text, name, arguments, tuple(place.strip() for place in wanted.split("+")))


def _plain(name: str) -> str:
    return re.sub(r"[\s.]+", ".", name.strip().lower())


def _places_of(request: Request, sites: Sequence[Site], file: str) -> list[Site]:
    """The sites that a request means, groups such as neck taken apart.

    Raises UserError listing what there is.
    """
    found: list[Site] = []
    for place in request.places:
        one = re.compile(rf"{re.escape(_plain(place))}(\.p\d+)?")
        here = [site for site in sites if _plain(site.name) == _plain(place)]
        here = here or [site for site in sites if one.fullmatch(_plain(site.name))]
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
    present = (
        plan.inside[row].module
        if row in plan.inside
        else (graph.rows[row].inside or {}).get("inside")
    )
    if present:
        raise UserError(
            f"--attention {shorten(request.text)}: {graph.file}: row {row},"
            f" {graph.rows[row].module}, has {present} in its bottlenecks, and there is room for"
            " one; take one of them out"
        )
    plan.inside[row] = request


def _carry_out(
    plan: _Plan, graph: Graph, rows: Sequence[Any], backbone_rows: int
) -> tuple[list[Any], int]:
    """The new rows, and how many of them are the backbone's."""
    new: list[Any] = []
    moved: dict[int, int] = {}  # present number -> number of the row that now gives its map
    boundary = 0
    for row in graph.rows:
        ahead: dict[int, int] = {}
        if row is graph.rows[-1]:
            for source, requests in plan.ahead.items():
                for position, request in enumerate(requests):
                    target = moved[source] if position == 0 else -1
                    new.append(_attention_row(request, -1 if target == len(new) - 1 else target))
                ahead[source] = len(new) - 1
        targets = [ahead.get(source, moved.get(source, -1)) for source in row.inputs]
        written = row.source if isinstance(row.source, list) else [row.source]
        index = len(new)
        numbers = [new_row - index if old < 0 and index else new_row
                   for old, new_row in zip(written, targets, strict=True)]  # fmt: skip
        _, number, module, arguments = copy.deepcopy(rows[row.index])
        if row.index in plan.inside:
            request = plan.inside[row.index]
            arguments = [*arguments, {"inside": request.module, **request.arguments}]
        new.append(
            [numbers if isinstance(row.source, list) else numbers[0], number, module, arguments]
        )
        new += [_attention_row(request, -1) for request in plan.behind.get(row.index, ())]
        moved[row.index] = len(new) - 1
        boundary = len(new) if row.index < backbone_rows else boundary
    return new, boundary


def _attention_row(request: Request, source: int) -> list[Any]:
    return [source, 1, request.module, copy.deepcopy(request.arguments)]


def sites_table(content: Mapping[str, Any]) -> str:
    """A line for each row: its number, module, pixels per cell, and the names of the places there."""
    sites = find_sites(content)
    lines = [f"{'row':>3}  {'module':<18} {'px a cell':>9}  places (and index ROW)"]
    for row in range(max(site.row for site in sites) + 1):
        here = [site for site in sites if site.row == row]
        names = ", ".join(site.name for site in here if not site.name.startswith("index "))
        lines.append(f"{row:>3}  {here[0].module:<18} {here[0].stride:>9g}  {names}")
    return "\n".join(
        [
            *lines,
            "neck and head stand for all of their levels; see the head of models/graph/sites.py",
        ]
    )
