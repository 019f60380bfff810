"""The text of a graph's file: lines of findings, edits in place, and rules about the text itself.

models/lint/fix.py takes line numbers and the findings of text_rules from here, and
models/lint/command.py writes corrected files with Document.edited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml

from models.graph.scales import LETTER, MODEL_VERSION, MULTIPLES, guess_scale, has_scales
from models.graph.values import as_number, shorten
from models.lint.finding import Fix, LintContext, LintFinding

# The number of a row at the start of its comment: "# 7", "# 7-P4/16", "# layer 7: neck".
ROW_COMMENT = re.compile(
    r"#+\s*(?:(?:row|layer)\s+)?(\d{1,3})(?=\s*$|\s*:|\s*-\s*[A-Za-z]|\s*\(P\d|\s*\(p\d)",
    re.IGNORECASE,
)
STRIDE_COMMENT = re.compile(r"\bP(\d)\s*/\s*(\d+)\b")  # "P4/16": level and stride
LEVEL_COMMENT = re.compile(r"#\s*\d+\s*-\s*P(\d)\b(?!\s*/)")  # "# 7-P4": a level alone
V5_FACTORS = {  # depth and width of YOLOv5's sizes
    "n": (0.33, 0.25),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text with the positions of its parts.

    Attributes:
        path: the file.
        text: all of it.
        keys: YAML nodes of the top-level keys and their values. A key may occur twice.
        rows: YAML nodes of the rows, backbone and head.
    """

    path: Path
    text: str
    keys: tuple[tuple[yaml.Node, yaml.Node], ...]
    rows: tuple[yaml.Node, ...]

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
    text = path.read_bytes().decode("utf-8-sig", errors="ignore")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = tuple(root.value) if isinstance(root, yaml.MappingNode) else ()
    last = {key.value: value for key, value in keys}
    parts = [last[name] for name in ("backbone", "head") if name in last]
    lists = [part.value for part in parts if isinstance(part, yaml.SequenceNode)]
    return Document(path, text, keys, tuple(row for rows in lists for row in rows))


@dataclass(frozen=True, slots=True)
class TextContext:
    """The input of the rules about text.

    Attributes:
        document: the text.
        path: the file as the user named it, which may choose the scale.
        graph: the trial run of the fixed graph.
        content: the graph's dictionary as it was loaded.
    """

    document: Document
    path: Path
    graph: LintContext
    content: Mapping[str, object]


def wrong_comments(context: TextContext) -> Iterator[LintFinding]:
    """Comments that name another row than theirs, or another level or stride than the map has."""
    # Sizes are those of the fixed graph: a graph that stops has no sizes for its later rows.
    for row in range(len(context.document.rows)):
        comment = context.document.comment_of(row)
        if comment is None:
            continue
        text, faults = _check_number(comment[1], row)
        if row < len(context.graph.sizes):
            stride = context.graph.side // context.graph.sizes[row][0]
            text, more = _check_stride(text, stride)
            faults += more
        if faults:
            what = f"the comment says {' and '.join(faults)}"
            fix = Fix("comment", row, 0, text)
            yield context.graph.finding(row, "comment", what, shorten(text), fix)


def _check_number(text: str, row: int) -> tuple[str, list[str]]:
    """The corrected comment of a row, and its wrong statements about the row's number."""
    number = ROW_COMMENT.match(text)
    if number is None or int(number[1]) == row:
        return text, []
    corrected = text[: number.start(1)] + str(row) + text[number.end(1) :]
    return corrected, [f"{number[1]}, but this is row {row}"]


def _check_stride(text: str, stride: int) -> tuple[str, list[str]]:
    """The corrected comment of a map, and its wrong statements about level or stride."""
    faults = []
    level = max(stride.bit_length() - 1, 0)  # level n has stride 2 ** n
    for pattern in (STRIDE_COMMENT, LEVEL_COMMENT):
        found = pattern.search(text)
        if found is None:
            continue
        if pattern is STRIDE_COMMENT:
            wrong = (int(found[1]), int(found[2])) != (level, stride)
            right = f"P{level}/{stride}"
        else:
            wrong = int(found[1]) != level
            right = re.sub(r"P\d$", f"P{level}", found[0])
        if wrong:
            faults.append(f"{found[0].strip('# ')}, but the map has stride {stride}")
            text = text[: found.start()] + right + text[found.end() :]
    return text, faults


def double_keys(context: TextContext) -> Iterator[LintFinding]:
    """Keys that occur twice at the top of the file; YAML takes the last one."""
    seen: dict[str, int] = {}
    for key, _ in context.document.keys:
        line = key.start_mark.line + 1
        reported = key.value in MULTIPLES and has_scales(context.content)  # by unused_keys
        if key.value in seen and not reported:
            what = (
                f"`{key.value}`: stands twice; only this one counts, not the one in line"
                f" {seen[key.value]}"
            )
            yield LintFinding(context.graph.file, line, -1, "key", what, "one of them")
        seen[key.value] = line


def unheard_scale(context: TextContext) -> Iterator[LintFinding]:
    """A scale that the name of the file seems to ask for, although another one is in force."""
    scales, path = context.content.get("scales"), context.path
    if not isinstance(scales, dict):
        yield from _other_factors(context)
        return
    stem, guess = path.stem, guess_scale(path)
    found = LETTER.search(stem)
    run_on = found is not None and re.match(r"[A-Za-z]", stem[found.end() :]) is not None
    meant = what = ""
    if found and run_on:
        meant = f"{stem[: found.end(1)]}_{stem[found.start(2) :]}"
        what = f"is taken for scale {guess}, the first letter after the version"
    elif not guess:
        meant = _heard_name(stem, [str(name) for name in scales])
        what = f"chooses no scale, so {next(iter(scales))} is used"
    if meant:
        fix = Fix("name", -1, "scales", meant)
        what = f"scales: the name {path.name} {what}"
        yield context.graph.finding(-1, "scale", what, f"{meant}{path.suffix}", fix)
    written = _written_scale(context.document)
    if guess and not run_on and written and written != guess:
        what = f"`scale`: {written}: the name {path.name} takes precedence and says {guess}"
        yield context.graph.finding(-1, "scale", what)


def _written_scale(document: Document) -> str:
    """The value of the file's own key `scale`, or ""."""
    return next((str(value.value) for key, value in document.keys if key.value == "scale"), "")


def _heard_name(stem: str, scales: list[str]) -> str:
    """A name that selects the scale which this one seems to intend, "" if it intends none.

    yolov8s_CBAM is the result for yolov8_s_CBAM, YOLOv8s_CBAM and v8s_CBAM, yolov8s-CBAM that for
    yolov8-CBAM-s.
    """
    # guess_scale recognizes lower-case names with "yolo" only.
    lowered = re.sub("yolo", "yolo", stem, flags=re.IGNORECASE)
    lowered = re.sub(r"^v?(?=\d+[nslmx](?![A-Za-z0-9]))", "yolov", lowered)
    spelt = LETTER.search(lowered)
    if lowered != stem and spelt and not re.match("[A-Za-z]", lowered[spelt.end() :]):
        return lowered
    letter = next((part for part in re.split(r"[-_. ]", lowered) if part in scales), "")
    if not letter or not MODEL_VERSION.search(lowered):
        return ""
    # The letter stands somewhere behind the version: remove it there, and append it to the version.
    bare = re.sub(rf"[-_. ]{re.escape(letter)}(?=[-_. ]|$)", "", lowered, count=1)
    return MODEL_VERSION.sub(rf"\g<0>{letter}", bare, count=1)


def _other_factors(context: TextContext) -> Iterator[LintFinding]:
    """A file without scales, such as yolov5m_SE, with the depth and width of another size."""
    stem, guess = context.path.stem, guess_scale(context.path)
    factors = tuple(as_number(context.content.get(key)) for key in MULTIPLES)
    others = [letter for letter, known in V5_FACTORS.items() if known == factors]
    if stem.startswith("yolov5") and others and guess and guess not in others:
        depth, width = V5_FACTORS[guess]
        what = (
            f"`width_multiple`: the file's name says {guess}, but depth and width are those of"
            f" yolov5{others[0]}"
        )
        meant = f"depth_multiple: {depth} and width_multiple: {width}, or another name"
        yield context.graph.finding(-1, "scale", what, meant)


TextRule = Callable[[TextContext], Iterator[LintFinding]]
TEXT_RULES: Mapping[str, TextRule] = MappingProxyType(
    {
        "comments that contradict the row": wrong_comments,
        "keys that stand twice": double_keys,
        "scale that is not in force": unheard_scale,
    }
)


def apply_text_rules(context: TextContext) -> list[LintFinding]:
    """The findings of all TEXT_RULES."""
    return [finding for rule in TEXT_RULES.values() for finding in rule(context)]
