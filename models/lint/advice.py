"""What a user is told of a model before it is used: its own warnings, and where to ask for more."""

from __future__ import annotations

from collections.abc import Iterator

from models.graph.read import read_graph
from models.lint.finding import Context
from models.lint.rules import WIRING, apply_rules
from models.yolo import DetectionModel


def warnings_of(model: DetectionModel) -> list[str]:
    """The model's warnings and, if its graph's wiring deserves it, the command that says more."""
    return [*model.warnings, *_pointer(model)]


def _pointer(model: DetectionModel) -> Iterator[str]:
    """A line with the number of findings in the wiring, or nothing."""
    graph = read_graph(model.graph)
    count = len(apply_rules(Context({"yaml_file": graph.file}, graph, model.map_sizes), WIRING))
    if count:
        things = f"{count} thing{'s' * (count > 1)}"
        yield f"{graph.file}: {things} in its wiring: see python models/yolo.py --lint {graph.file}"
