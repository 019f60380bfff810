"""The text of a graph's file: lines of findings, and edits in place.

models/lint/fix.py takes line numbers from here, and models/lint/command.py writes corrected files
with Document.edited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from models.lint.finding import Fix, LintFinding
from utils.yaml_file import DoubledKey, compose_yaml, read_yaml


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text with the positions of its parts.

    Attributes:
        path: the file.
        text: all of it.
        keys: YAML nodes of the top-level keys and their values. A key may occur twice.
        rows: YAML nodes of the rows, backbone and head.
        doubled: keys that stand twice in one mapping, at any level.
    """

    path: Path
    text: str
    keys: tuple[tuple[yaml.Node, yaml.Node], ...]
    rows: tuple[yaml.Node, ...]
    doubled: tuple[DoubledKey, ...] = ()

    def line_of(self, finding: LintFinding) -> int:
        """The line that a finding is about, from 1."""
        if 0 <= finding.row < len(self.rows):
            return int(self.rows[finding.row].start_mark.line) + 1
        named = re.match(r"`?([^`:]+)`?:", finding.what)
        wanted = finding.fix.position if finding.fix else named[1] if named else ""
        lines = [key.start_mark.line + 1 for key, _ in self.keys if key.value == str(wanted)]
        return lines[-1] if lines else 1

    def comment_of(self, row: int) -> re.Match[str] | None:
        """The match, with group 1 the comment after a row on its last line, or None."""
        node = self.rows[row]
        if not isinstance(node, yaml.SequenceNode) or not node.flow_style:
            return None
        behind = re.compile(r"[\s,\]]*?(#[^\r\n]*)").match(self.text, node.end_mark.index)
        same_line = behind and "\n" not in self.text[node.end_mark.index : behind.start(1)]
        return behind if same_line else None

    def edited(self, fixes: Iterable[Fix]) -> str:
        """The text with fixes made in place; everything else is unchanged."""
        spans = {self.span(fix) for fix in fixes if fix.part != "name"}
        text = self.text
        for start, end, new in sorted(spans, reverse=True):  # so that earlier positions stay valid
            text = text[:start] + new + text[end:]
        return text

    def span(self, fix: Fix) -> tuple[int, int, str]:
        """Start and end of the text that a fix replaces, and the new text."""
        if fix.part == "comment":
            comment = self.comment_of(fix.row)
            assert comment
            return (comment.start(1), comment.end(1), str(fix.value))
        if fix.part == "key":
            return self._key_span(fix)
        part: yaml.Node = self.rows[fix.row].value[0 if fix.part == "from" else 3]
        if fix.part == "from" and isinstance(part, yaml.SequenceNode):
            part = part.value[int(fix.position)]
        flow = yaml.safe_dump(fix.value, default_flow_style=True, width=10**6)
        # PyYAML ends a document that is a bare number with a line of three dots.
        return (part.start_mark.index, _end(part), flow.removesuffix("...\n").strip())

    def _key_span(self, fix: Fix) -> tuple[int, int, str]:
        """The span of a key's name if it is renamed, else of all its lines."""
        found = [pair for pair in self.keys if pair[0].value == str(fix.position)]
        if not found:  # a merge (<<) brought the key in; `corrected` sees that nothing changed
            return (0, 0, "")
        key, value = found[-1]
        if fix.value is not None:
            return (key.start_mark.index, key.end_mark.index, str(fix.value))
        after = self.text.find("\n", _end(value))
        return (key.start_mark.index, len(self.text) if after < 0 else after + 1, "")


def _end(node: yaml.Node) -> int:
    """The index after a node's text, without the space and comments that PyYAML adds to blocks."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def read_document(path: Path) -> Document:
    """The text of a graph's file, which load_yaml has already read without an error."""
    found = read_yaml(path)
    root = compose_yaml(found.text)
    keys = tuple(root.value) if isinstance(root, yaml.MappingNode) else ()
    last = {key.value: value for key, value in keys}
    parts = [last[name] for name in ("backbone", "head") if name in last]
    lists = [part.value for part in parts if isinstance(part, yaml.SequenceNode)]
    rows = tuple(row for rows in lists for row in rows)
    return Document(path, found.text, keys, rows, found.doubled)
