"""Lint: find the faults of a graph, fix them, and repeat until no fix is left.

Tutorials and insertions by hand leave faults in graphs that nevertheless build. `models/yolo.py
--lint` prints them (models/lint/command.py). lint() takes a file, lint_content() a graph's
dictionary. models/lint/rules.py has the rules for graphs, models/lint/text.py those for the text of
files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.scales import find_graph
from models.graph.walk import PROBE, measure_strides
from models.lint.document import Document, read_document
from models.lint.finding import LintContext, LintFinding, apply_fixes
from models.lint.rules import apply_rules
from models.lint.text import TextContext, apply_text_rules
from models.yolo import check_size, parse_model
from utils.errors import UserError

MAX_PASSES = 40
INDIRECT = ("unread", "gradient")  # kinds of findings that the fixes of other rows may settle


class FixedGraph(NamedTuple):
    """The result of fix_graph().

    Attributes:
        findings: all findings, by row.
        content: a copy of the graph's dictionary with every fix made.
        context: the trial run of that copy.
    """

    findings: list[LintFinding]
    content: dict[str, object]
    context: LintContext


class LintedFile(NamedTuple):
    """The result of lint_file().

    Attributes:
        findings: all findings, by line.
        content: a copy of the graph's dictionary with every fix made.
        document: the file's text.
    """

    findings: list[LintFinding]
    content: dict[str, object]
    document: Document


def lint(path: str | Path, scale: str = "") -> list[LintFinding]:
    """Everything found in a graph's file, in the order of its lines.

    path and scale are the same as for load_graph. Raises UserError if the file is not YAML.
    """
    return lint_file(path, scale).findings


def lint_content(content: Mapping[str, object]) -> list[LintFinding]:
    """Everything found in a graph's dictionary, by row; all lines are 0.

    Raises nothing: an error that keeps the graph from being built is a finding too.
    """
    return fix_graph(content).findings


def lint_file(path: str | Path, scale: str = "") -> LintedFile:
    """The findings of lint() together with what is needed to write a corrected file."""
    content = load_graph(path, scale)
    document = read_document(find_graph(path))
    found, fixed, context = fix_graph(content)
    found += apply_text_rules(TextContext(document, Path(path), context, content))
    lined = [replace(finding, line=finding.line or document.line_of(finding)) for finding in found]
    by_line = sorted(lined, key=lambda finding: (finding.line, finding.row, finding.rule))
    return LintedFile(by_line, fixed, document)


def fix_graph(content: Mapping[str, object]) -> FixedGraph:
    """Find the faults of a graph's dictionary and correct a copy of it. Rows keep their numbers."""
    found: dict[tuple[str | int, ...], LintFinding] = {}
    fixed, context = dict(content), try_out(content)
    # One wrong number hides others. A graph whose Concat joins maps of different sizes stops there,
    # so the sizes of later rows, which the rules need, are known only after the fix. A row may also
    # become right once the row that it reads is fixed. Hence the rules run again on the fixed copy
    # until they change nothing more.
    for _ in range(MAX_PASSES):
        findings = apply_rules(context)
        for finding in findings:
            _remember(found, finding)
        fixes = [finding.fix for finding in findings if finding.fix]
        if not fixes:
            break
        fixed = apply_fixes(fixed, fixes)
        context = try_out(fixed)
    is_needed = any(finding.rule in INDIRECT for finding in found.values())
    noted = _note_settled(found.values(), context) if is_needed else found.values()
    by_row = sorted(noted, key=lambda finding: (finding.row, finding.rule))
    return FixedGraph(by_row, fixed, context)


def _remember(found: dict[tuple[str | int, ...], LintFinding], finding: LintFinding) -> None:
    """Add a finding to those of earlier passes.

    A place that is fixed a second time keeps the first fault, which describes the user's file, and
    takes the second fix, which is the one in the result.
    """
    known = found.get(finding.place)
    if known is None:
        found[finding.place] = finding
    elif finding.fix:
        found[finding.place] = replace(known, meant=finding.meant, fix=finding.fix)


def _note_settled(findings: Iterable[LintFinding], context: LintContext) -> Iterator[LintFinding]:
    """The findings, with a note on those of INDIRECT that the fixes of other rows settle.

    context is the trial run of the fixed graph.
    """
    remaining = {one.row for one in apply_rules(context) if one.rule in INDIRECT}
    for finding in findings:
        if finding.rule in INDIRECT and finding.row not in remaining:
            finding = replace(finding, meant="a later row reads it once its numbers are corrected")
        yield finding


def try_out(content: Mapping[str, object]) -> LintContext:
    """Build a graph on the meta device and send an image through it as far as it runs.

    Raises nothing: the LintContext has the error.
    """
    graph, sizes, notes = None, list[tuple[int, int]](), list[str]()
    try:
        # A checkpoint's graph says how many channels images have; files do not need to.
        graph = read_graph({"ch": 3, **content})
        with torch.device("meta"):
            skeleton, notes = parse_model(graph, 0)
        check_size(skeleton, graph)
        measure_strides(skeleton, graph, sizes)
    except UserError as error:
        return LintContext(content, graph, sizes, PROBE, notes, str(error))
    return LintContext(content, graph, sizes, PROBE, notes)
