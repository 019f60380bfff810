"""The tables of lint's rules for graphs, and how their findings are combined.

models/lint/fix.py applies them. Those about wiring and arguments have files of their own; here are
the two that need no graph: keys that nothing reads, and the error that stops a graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from models.graph.read import BIN_KEYS, KEYS
from models.graph.scales import MULTIPLES, has_scales
from models.graph.values import shorten
from models.lint.argument_rules import ARGUMENT_RULES
from models.lint.finding import Fix, LintContext, LintFinding
from models.lint.wiring_rules import WIRING_RULES, GraphRule
from utils.families import family_of

ContentRule = Callable[[LintContext], Iterator[LintFinding]]
# Of two findings of one row, the kinds on the right explain the one on the left, which is dropped.
EXPLAINED_BY = {"error": ("size", "shift", "arguments"), "twice": ("levels",)}


def unused_keys(context: LintContext) -> Iterator[LintFinding]:
    """Keys at the top of the file that nothing reads."""
    for key, value in context.content.items():
        if key == "neck" and isinstance(value, list):
            continue  # it stops the graph, and that error says what to do
        if key not in KEYS:
            yield _unknown_key(context, key)
        elif key in _unread_bin_keys(context):
            yield context.finding(-1, "key", f"`{key}`: a head with anchors does not read this key")
        elif key in MULTIPLES and has_scales(context.content):
            what = f"`{key}`: {shorten(value)}: has no effect beside scales"
            meant = "one of scales, chosen by the name of the file"
            yield context.finding(-1, "scale", what, meant, Fix("key", -1, key, None))


def _unknown_key(context: LintContext, key: object) -> LintFinding:
    """A finding for a key that no graph has, perhaps a misspelt one."""
    unused = [name for name in KEYS if name not in context.content]
    close = get_close_matches(str(key), unused, n=1, cutoff=0.75)
    fix = Fix("key", -1, key, close[0]) if close and isinstance(key, str) else None
    meant = f"`{close[0]}`" if close else "nothing; remove the line"
    return context.finding(-1, "key", f"`{shorten(key)}`: nothing reads this key", meant, fix)


def _unread_bin_keys(context: LintContext) -> tuple[str, ...]:
    """BIN_KEYS, which only heads without anchors read, if this head has anchors; else nothing."""
    try:
        return BIN_KEYS if family_of(context.content).has_anchors else ()
    except RecursionError:  # a list that contains itself, by an alias
        return ()


def what_stops(context: LintContext) -> Iterator[LintFinding]:
    """The error that keeps the graph from being built or from running."""
    if context.error:
        text = context.error.removeprefix(f"{context.file}: ")
        # Errors of graphs begin with file and row, which the finding has as fields.
        row = re.match(r"row (\d+): ", text)
        what = text[row.end() :] if row else text
        yield context.finding(int(row[1]) if row else -1, "error", what)


GRAPH_RULES: Mapping[str, GraphRule] = MappingProxyType({**WIRING_RULES, **ARGUMENT_RULES})
CONTENT_RULES: Mapping[str, ContentRule] = MappingProxyType(
    {"unused keys": unused_keys, "what stops the graph": what_stops}
)


def apply_rules(
    context: LintContext,
    graph_rules: Mapping[str, GraphRule] = GRAPH_RULES,
    content_rules: Mapping[str, ContentRule] = CONTENT_RULES,
) -> list[LintFinding]:
    """Run rules and keep one finding for each place.

    Args:
        context: the graph and its trial run.
        graph_rules: rules that need a graph with checked types; skipped if there is none.
        content_rules: rules that look at the dictionary, run after the others.

    Returns:
        The findings in the order of the rules. Of several for one reference only the first is kept,
        and an error is dropped if another finding of its row explains it.
    """
    found: dict[tuple[str | int, ...], LintFinding] = {}
    for finding in _all_findings(context, graph_rules, content_rules):
        kinds = {other.rule for other in found.values() if other.row == finding.row}
        if not kinds & set(EXPLAINED_BY.get(finding.rule, ())):
            found.setdefault(_reference(finding), finding)
    return list(found.values())


def _all_findings(
    context: LintContext,
    graph_rules: Mapping[str, GraphRule],
    content_rules: Mapping[str, ContentRule],
) -> Iterator[LintFinding]:
    if context.graph:
        for graph_rule in graph_rules.values():
            yield from graph_rule(context.graph, context)
    for content_rule in content_rules.values():
        yield from content_rule(context)


def _reference(finding: LintFinding) -> tuple[str | int, ...]:
    """The place of a finding; where no fix gives it, all faults of one reference are one place."""
    # "Detect reads row 14, Concat: …": the text before the colon names the reference.
    if finding.fix is None and finding.rule in ("head", "size", "levels", "twice"):
        return (finding.row, finding.what.split(":")[0])
    return finding.place
