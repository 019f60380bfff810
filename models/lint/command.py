"""The command python models/yolo.py --lint FILE … [--fix [--out FILE]].

It prints what is wrong with graphs and writes corrected copies of them. models/command.py has the
flags.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from models.lint.document import Document
from models.lint.finding import Fix
from models.lint.fix import LintedFile, lint_file
from utils.errors import LONGEST_LINE, UserError
from utils.files import atomic_write
from utils.text import counted, file_name, printable

MOST_NAMED = 6  # references that the summary of a file names


def run_lint(paths: Sequence[str], *, scale: str = "", fix: bool = False, out: str = "") -> int:
    """Print the findings in each file and, if asked to, write a corrected copy.

    Args:
        paths: the graphs' files.
        scale: the scale for graphs that have several, as in load_graph.
        fix: whether to write corrected copies.
        out: file for the copy of a single graph; "" is NAME_fixed.yaml beside it.

    Returns:
        1 if anything was found, else 0.

    Raises:
        UserError: The flags contradict each other, or a file cannot be read. All other files are
            checked first.
    """
    if out and not fix:
        raise UserError(f"--out {out}: says where --fix writes; add --fix")
    if out and len(paths) > 1:
        raise UserError(
            f"--out {out}: takes one file, not {len(paths)}; omit it to get NAME_fixed.yaml beside"
            " each"
        )
    found = unreadable = 0
    for path in paths:
        try:
            linted = lint_file(path, scale)
        except UserError as error:
            if len(paths) == 1:
                raise
            print(f"error: {printable(error, LONGEST_LINE)}", file=sys.stderr)
            unreadable += 1
            continue
        lines = [printable(finding) for finding in linted.findings] or [f"{path}: nothing found"]
        print(*lines, sep="\n")
        if linted.findings:
            print(summary_line(linted))
        found += len(linted.findings)
        if fix and linted.findings:
            write_fixed(linted, out)
    if unreadable:
        raise UserError(
            f"--lint: {unreadable} of {counted(len(paths), 'file')} cannot be read; see above"
        )
    return 1 if found else 0


def summary_line(linted: LintedFile) -> str:
    """One line about a file that can be pasted into an issue of the project it came from."""
    findings = linted.findings
    named = []
    for finding in findings:
        fix = finding.fix
        if fix and fix.part == "from":
            row = linted.document.rows[fix.row].value
            name, source = row[2].value, row[0].value
            old = source[int(fix.position)].value if isinstance(source, list) else source
            named.append(f"row {fix.row} ({name}) reads {old} instead of {fix.value}")
    wiring = f": {', '.join(named[:MOST_NAMED])}" if named else ""
    more = f", and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    count = counted(len(findings), "finding")
    part = f", {len(named)} of them in what rows read{wiring}{more}" if named else ""
    return f"summary: {linted.document.path.name}: {count}{part} (python models/yolo.py --lint)"


def write_fixed(linted: LintedFile, out: str = "") -> Path | None:
    """Write a corrected copy of a file and print what changed and which findings remain.

    Returns the copy's path, None where no finding can be fixed. Raises UserError if out is another
    file that exists.
    """
    document = linted.document
    fixes = [finding.fix for finding in linted.findings if finding.fix]
    if not fixes:
        print(f"{document.path}: none of this can be fixed automatically; no file was written")
        return None
    text, comments_kept = corrected(document, linted.content, fixes)
    target = Path(out) if out else free_name(document.path, fixes, text)
    _check_target(target, document, text)
    with atomic_write(target) as file:
        file.write(text.encode())
    count = counted(len(fixes), "change")
    print(f"{target}: written, with {count}{'' if comments_kept else '; comments are lost'}:")
    remaining = [f"left: {finding}" for finding in lint_file(target).findings]
    for line in [*changes(document, fixes), *(remaining or ["nothing is left to fix"])]:
        print(f"  {line}")
    return target


def corrected(
    document: Document, fixed: Mapping[str, object], fixes: Sequence[Fix]
) -> tuple[str, bool]:
    """The text of a corrected file.

    Args:
        document: the present file.
        fixed: the graph's dictionary with the fixes made.
        fixes: the changes.

    Returns:
        The text, and whether comments are kept. They are if editing the text gives the fixed
        dictionary. Otherwise the whole file is written anew, as for YAML aliases, which share one
        text between several rows.
    """
    text = document.edited(fixes)
    wanted = {key: value for key, value in fixed.items() if key not in ("yaml_file", "scale")}
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        found = None
    if isinstance(found, dict):
        found.pop("scale", None)  # load_graph sets it by the file's name
        if found == wanted:
            return text, True
    anew = yaml.safe_dump(
        wanted, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
    )
    return anew, False


def free_name(path: Path, fixes: Sequence[Fix], text: str) -> Path:
    """The path of a corrected copy beside a file.

    Args:
        path: the file.
        fixes: the changes; one of them may give another name.
        text: of the copy.

    Returns:
        NAME_fixed.yaml, or the first of NAME_fixed2.yaml, … that is free or has this text already.
    """
    # The scale is part of a file's name, so the fix of a name must reach the copy's name.
    stem = next((str(fix.value) for fix in fixes if fix.part == "name"), path.stem)
    number = 1
    while True:
        target = path.with_name(
            f"{file_name(stem, limit=0)}_fixed{number if number > 1 else ''}{path.suffix}"
        )
        if not target.exists() or target.read_bytes() == text.encode():
            return target
        number += 1


def _check_target(target: Path, document: Document, text: str) -> None:
    """Raise UserError if the target is the graph's own file or has another text."""
    if target.exists() and (target.samefile(document.path) or target.read_bytes() != text.encode()):
        raise UserError(
            f"--out {target}: exists already, and no file is overwritten; choose another name"
        )


def changes(document: Document, fixes: Sequence[Fix]) -> list[str]:
    """One line for each change, by row."""
    by_row = sorted(fixes, key=lambda fix: (fix.row, fix.part))
    return [_change(document, fix) for fix in by_row]


def _change(document: Document, fix: Fix) -> str:
    if fix.part == "name":
        return f"name: {document.path.stem} -> {fix.value}"
    if fix.part == "key":
        return f"{fix.position}: {'removed' if fix.value is None else f'renamed {fix.value}'}"
    start, end, _ = document.span(fix)
    old = " ".join(document.text[start:end].split())
    return f"row {fix.row}: {fix.part} {old} -> {fix.value}"
