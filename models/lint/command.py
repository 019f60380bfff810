"""python models/yolo.py --lint F… [--fix [--out FILE]]: what is wrong with graphs, and corrected
copies of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from models.lint.finding import Finding, Fix
from models.lint.mend import lint_file
from models.lint.text import Document
from utils.errors import UserError
from utils.files import atomic_write


def run_lint(paths: Sequence[str], *, scale: str = "", fix: bool = False, out: str = "") -> int:
    """Print the findings in each file; with fix, write a corrected copy beside it, or to out.
    Returns 1 if any, else 0.

    Raises UserError for flags that do not go together and, after the other files, for one that
    cannot be read.
    """
    if out and not fix:
        raise UserError(f"--out {out}: says where --fix writes; add --fix")
    if out and len(paths) > 1:
        raise UserError(
            f"--out {out}: takes one file, not {len(paths)}; leave it out for NAME_fixed.yaml"
            " beside each"
        )
    found, unreadable = 0, list[UserError]()
    for path in paths:
        try:
            findings, better, document = lint_file(path, scale)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            unreadable.append(error)
            continue
        print(*findings, sep="\n") if findings else print(f"{path}: nothing found")
        found += len(findings)
        if fix and findings:
            write_fixed(findings, better, document, out)
    if unreadable:
        raise UserError(
            f"--lint: {len(unreadable)} of {len(paths)} files cannot be read; see above"
        )
    return 1 if found else 0


def write_fixed(
    findings: Sequence[Finding], better: dict[str, Any], document: Document, out: str = ""
) -> Path | None:
    """Write a corrected copy of a file, comments kept, and say what changed and what is left to the
    reader.

    Returns its path, None where nothing can be mended. Raises UserError rather than write over
    another file.
    """
    fixes = [finding.fix for finding in findings if finding.fix]
    if not fixes:
        print(f"{document.path}: nothing here can be mended by rule; no file was written")
        return None
    text, kept = corrected(document, better, fixes)
    target = Path(out) if out else free_name(document.path, fixes, text)
    _refuse_others(target, document, text)
    with atomic_write(target) as file:
        file.write(text.encode())
    print(
        f"{target}: written, with {len(fixes)}"
        f" change{'s' * (len(fixes) > 1)}{'' if kept else '; comments are lost'}:"
    )
    for line in changes(document, fixes):
        print(f"  {line}")
    left = lint_file(target)[0]
    (
        print(*(f"  left: {finding}" for finding in left), sep="\n")
        if left
        else print("  nothing is left to mend")
    )
    return target


def corrected(document: Document, better: dict[str, Any], fixes: Sequence[Fix]) -> tuple[str, bool]:
    """The corrected text, and whether it is the old one edited; where that cannot be, rows are
    written anew.
    """
    text = document.edited(fixes)
    wanted = {key: value for key, value in better.items() if key not in ("yaml_file", "scale")}
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if (
        isinstance(found, dict)
        and {key: value for key, value in found.items() if key != "scale"} == wanted
    ):
        return text, True
    return (
        yaml.safe_dump(
            wanted, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
        ),
        False,
    )


def free_name(path: Path, fixes: Sequence[Fix], text: str) -> Path:
    """NAME_fixed.yaml beside the file, or the first of NAME_fixed2.yaml … that is not there or
    already the same.
    """
    stem = next((str(fix.value) for fix in fixes if fix.part == "name"), path.stem)
    number = 1
    while True:
        target = path.with_name(f"{stem}_fixed{number if number > 1 else ''}{path.suffix}")
        if not target.exists() or target.read_bytes() == text.encode():
            return target
        number += 1


def _refuse_others(target: Path, document: Document, text: str) -> None:
    if target.exists() and (target.samefile(document.path) or target.read_bytes() != text.encode()):
        raise UserError(
            f"--out {target}: is there already, and no file is written over; choose another name"
        )


def changes(document: Document, fixes: Sequence[Fix]) -> list[str]:
    """One line for each change."""
    lines = []
    for fix in sorted(fixes, key=lambda fix: (fix.row, fix.part)):
        if fix.part == "name":
            lines.append(f"name: {document.path.stem} -> {fix.value}")
        elif fix.part == "key":
            lines.append(
                f"{fix.position}: {'taken out' if fix.value is None else f'renamed {fix.value}'}"
            )
        else:
            old = _shown(document, fix)
            lines.append(f"row {fix.row}: {fix.part} {old} -> {fix.value}")
    return lines


def _shown(document: Document, fix: Fix) -> str:
    """What a change replaces, as the file spells it."""
    start, end, _ = document.span(fix)
    return " ".join(document.text[start:end].split())
