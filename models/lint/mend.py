"""Graphs that run and are wrong all the same: what tutorials and insertions by hand leave behind,
and how to mend it.

lint() looks at a file, lint_content() at a graph's dictionary. `models/yolo.py --lint` prints the
findings. The rules are in models/lint/rules.py (graphs) and models/lint/text.py (files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.graph.read import load_graph, read_graph
from models.graph.scales import find_graph
from models.graph.walk import PROBE, measure_strides
from models.lint.finding import Context, Finding, mended
from models.lint.rules import apply_rules
from models.lint.text import Document, read_document, text_rules
from models.yolo import check_size, parse_model
from utils.errors import UserError

MOST_PASSES = 40
LATER = ("unread", "gradient")  # rules whose findings other fixes settle


def lint(path: str | Path, scale: str = "") -> list[Finding]:
    """Everything found in a graph's file, in the order of its lines.

    path and scale: as load_graph takes them. Raises UserError for a file that cannot be read as
    YAML at all.
    """
    return lint_file(path, scale)[0]


def lint_content(content: Mapping[str, Any]) -> list[Finding]:
    """Everything found in a graph's dictionary; lines are 0. Raises nothing: what stops a graph is
    a finding too.
    """
    return mend(content)[0]


def lint_file(path: str | Path, scale: str = "") -> tuple[list[Finding], dict[str, Any], Document]:
    """The findings of lint(), the graph's dictionary with every fix made, and the file's text."""
    content = load_graph(path, scale)
    document = read_document(find_graph(path))
    found, better, context = mend(content)
    found += text_rules(document, Path(path), context, content)
    lined = [replace(finding, line=finding.line or document.line_of(finding)) for finding in found]
    return (
        sorted(lined, key=lambda finding: (finding.line, finding.row, finding.rule)),
        better,
        document,
    )


def mend(content: Mapping[str, Any]) -> tuple[list[Finding], dict[str, Any], Context]:
    """The findings in a graph's dictionary, a copy with every fix made, and how far that copy runs.

    Looks, mends, and looks again: one number left behind can hide what is behind it. Rows keep
    their numbers.
    """
    found: dict[object, Finding] = {}
    better = dict(content)
    context = try_out(better)
    for _ in range(MOST_PASSES):
        fixes = []
        for finding in apply_rules(context):
            fix = finding.fix
            known = found.get((fix.part, fix.row, fix.position)) if fix else None
            if fix and known:  # mended once, and still wrong: the last word counts
                found[fix.part, fix.row, fix.position] = replace(
                    known, meant=finding.meant, fix=fix
                )
            else:
                place = (
                    (fix.part, fix.row, fix.position)
                    if fix
                    else (finding.row, finding.rule, finding.what)
                )
                found.setdefault(place, finding)
            fixes += [fix] if fix else []
        if not fixes:
            break
        better = mended(better, fixes)
        context = try_out(better)
    settled = {finding.row for finding in found.values() if finding.rule in LATER} - {
        finding.row for finding in apply_rules(context) if finding.rule in LATER
    }
    told = [
        (
            replace(one, meant="a row behind reads it again once its numbers are right")
            if one.rule in LATER and one.row in settled
            else one
        )
        for one in found.values()
    ]
    return sorted(told, key=lambda finding: (finding.row, finding.rule)), better, context


def try_out(content: Mapping[str, Any]) -> Context:
    """Build a graph on the meta device and send a image through as far as that goes.

    Raises nothing.
    """
    graph, sizes, notes = None, list[tuple[int, int]](), list[str]()
    try:
        graph = read_graph({"ch": 3, **content})
        with torch.device("meta"):
            skeleton, notes = parse_model(graph, 0)
        check_size(skeleton, graph)
        measure_strides(skeleton, graph, sizes)
    except UserError as error:
        return Context(content, graph, sizes, PROBE, notes, str(error))
    return Context(content, graph, sizes, PROBE, notes)
