"""The notes and warnings that a user sees before a model is used."""

from __future__ import annotations

from collections.abc import Iterator

from models.graph.read import read_graph
from models.graph.values import Note
from models.lint.finding import LintContext
from models.lint.rules import apply_rules
from models.lint.wiring_rules import WIRING_RULES
from models.own.adapter import modules_flag
from models.yolo import DetectionModel
from utils.text import counted


def remarks_on(model: DetectionModel) -> list[str]:
    """The lines to print about a model: notes on what its rows were taken for, and warnings."""
    notes = dict.fromkeys(note for note in model.warnings if isinstance(note, Note))
    return [
        *(f"note: {note}" for note in notes),
        *(f"warning: {one}" for one in warnings_of(model)),
    ]


def warnings_of(model: DetectionModel) -> list[str]:
    """The model's own warnings and, if lint finds faults in its wiring, the command for details."""
    own = [warning for warning in model.warnings if not isinstance(warning, Note)]
    return [*own, *_pointer_to_lint(model)]


def _pointer_to_lint(model: DetectionModel) -> Iterator[str]:
    """A line with the number of findings in the wiring, or nothing."""
    graph = read_graph(model.graph)
    context = LintContext({"yaml_file": graph.file}, graph, model.map_sizes)
    count = len(apply_rules(context, WIRING_RULES, {}))
    if count:
        command = f"python models/yolo.py --lint {graph.file}{modules_flag(model)}"
        yield f"{graph.file}: {counted(count, 'thing')} in its wiring: see {command}"
