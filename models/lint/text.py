"""A graph's file as text: the lines of its rows, comments that contradict them, names of files, and
edits in place.

models/lint/mend.py uses Document for line numbers, text_rules for what only the text shows, and
models/lint/command.py writes corrected files with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from models.graph.scales import LETTER, MODEL_VERSION, MULTIPLES, guess_scale
from models.graph.values import as_number, shorten
from models.lint.finding import Context, Finding, Fix

NUMBER = re.compile(
    r"#+\s*(?:(?:row|layer)\s+)?(\d{1,3})(?=\s*$|\s*:|\s*-\s*[A-Za-z]|\s*\(P\d|\s*\(p\d)",
    re.IGNORECASE,
)
STRIDE = re.compile(r"\bP(\d)\s*/\s*(\d+)\b")
LEVEL = re.compile(r"#\s*\d+\s*-\s*P(\d)\b(?!\s*/)")
V5_FACTORS = {
    "n": (0.33, 0.25),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text and the nodes that YAML finds in it: top-level keys with their values, and
    rows.
    """

    path: Path
    text: str
    keys: tuple[tuple[yaml.Node, yaml.Node], ...]
    rows: tuple[yaml.Node, ...]

    def line_of(self, finding: Finding) -> int:
        """The line that a finding is about, from 1."""
        if 0 <= finding.row < len(self.rows):
            return self.rows[finding.row].start_mark.line + 1
        named = re.match(r"`?([^`:]+)`?:", finding.what)
        wanted = finding.fix.position if finding.fix else named[1] if named else ""
        lines = [key.start_mark.line + 1 for key, _ in self.keys if key.value == str(wanted)]
        return lines[-1] if lines else 1

    def comment_of(self, row: int) -> re.Match[str] | None:
        """The comment behind a row, on its last line; group 0 is all of it."""
        node = self.rows[row]
        if not isinstance(node, yaml.SequenceNode) or not node.flow_style:
            return None
        behind = re.compile(r"[\s,\]]*?(#[^\r\n]*)").match(self.text, node.end_mark.index)
        same_line = behind and "\n" not in self.text[node.end_mark.index : behind.start(1)]
        return behind if same_line else None

    def edited(self, fixes: Iterable[Fix]) -> str:
        """The text with changes made in place, all else as it was."""
        spans = sorted({self.span(fix) for fix in fixes if fix.part != "name"}, reverse=True)
        text = self.text
        for start, end, new in spans:
            text = text[:start] + new + text[end:]
        return text

    def span(self, fix: Fix) -> tuple[int, int, str]:
        """Where a change goes in the text, and what it puts there."""
        if fix.part == "comment":
            comment = self.comment_of(fix.row)
            assert comment
            return (comment.start(1), comment.end(1), str(fix.value))
        if fix.part == "key":
            return self._key_span(fix)
        part: Any = self.rows[fix.row].value[0 if fix.part == "from" else 3]
        if fix.part == "from" and isinstance(part, yaml.SequenceNode):
            part = part.value[int(fix.position)]
        new = (
            yaml.safe_dump(fix.value, default_flow_style=True, width=10**6)
            .removesuffix("...\n")
            .strip()
        )
        return (part.start_mark.index, _end(part), new)

    def _key_span(self, fix: Fix) -> tuple[int, int, str]:
        """A key's own name, or all of its lines."""
        found = [pair for pair in self.keys if pair[0].value == str(fix.position)]
        if not found:  # it came in through a merge (<<); the caller sees that nothing changed
            return (0, 0, "")
        key, value = found[-1]
        if fix.value is not None:
            return (key.start_mark.index, key.end_mark.index, str(fix.value))
        after = self.text.find("\n", _end(value))
        return (key.start_mark.index, len(self.text) if after < 0 else after + 1, "")


def _end(node: yaml.Node) -> int:
    """Where a node's text ends, without the white space and comments behind a block."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def read_document(path: Path) -> Document:
    """A graph's file that load_yaml has read already."""
    text = path.read_bytes().decode("utf-8-sig", errors="ignore")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = tuple(root.value) if isinstance(root, yaml.MappingNode) else ()
    last = {key.value: value for key, value in keys}
    parts = [
        last[name].value
        for name in ("backbone", "head")
        if isinstance(last.get(name), yaml.SequenceNode)
    ]
    return Document(path, text, keys, tuple(row for part in parts for row in part))


def wrong_comments(
    document: Document, path: Path, context: Context, content: Mapping[str, Any]
) -> Iterator[Finding]:
    """Comments that name another row than they stand at, or a level or stride that the row's map
    has not.
    """
    for row in range(len(document.rows)):
        comment = document.comment_of(row)
        if comment is None:
            continue
        text, said = comment[1], []
        number = NUMBER.match(text)
        if number and int(number[1]) != row:
            said.append(f"{number[1]}, but this is row {row}")
            text = text[: number.start(1)] + str(row) + text[number.end(1) :]
        if row < len(context.sizes):
            stride = context.side // context.sizes[row][0]
            level = max(stride.bit_length() - 1, 0)
            for pattern, right in ((STRIDE, f"P{level}/{stride}"), (LEVEL, "")):
                found = pattern.search(text)
                wrong = found and (
                    int(found[1]) != level or (bool(right) and int(found[2]) != stride)
                )
                if found and wrong:
                    said.append(f"{found[0].strip('# ')}, but the map has stride {stride}")
                    level_text = right or re.sub(r"P\d$", f"P{level}", found[0])
                    text = text[: found.start()] + level_text + text[found.end() :]
        if said:
            fix = Fix("comment", row, 0, text)
            yield context.finding(
                row, "comment", f"the comment says {' and '.join(said)}", shorten(text), fix
            )


def double_keys(
    document: Document, path: Path, context: Context, content: Mapping[str, Any]
) -> Iterator[Finding]:
    """Keys that stand twice at the top of the file, the last of which counts."""
    seen: dict[str, int] = {}
    for key, _ in document.keys:
        line = key.start_mark.line + 1
        if key.value in seen and not (key.value in MULTIPLES and "scales" in content):
            what = (
                f"`{key.value}`: stands twice, and only this one counts, not the one in line"
                f" {seen[key.value]}"
            )
            yield Finding(context.file, line, -1, "key", what, "one of them")
        seen[key.value] = line


def unheard_scale(
    document: Document, path: Path, context: Context, content: Mapping[str, Any]
) -> Iterator[Finding]:
    """A scale that the file's name seems to ask for and that is not the one in force."""
    scales = content.get("scales")
    stem, guess = path.stem, guess_scale(path)
    if not isinstance(scales, dict):
        yield from _other_factors(context, content, stem, guess)
        return
    found = LETTER.search(stem)
    run_on = found and re.match(r"[A-Za-z]", stem[found.end() :])
    meant = ""
    if found and run_on:
        meant = f"{stem[: found.end(1)]}_{stem[found.start(2) :]}"
        what = (
            f"scales: the name {path.name} is taken for scale {guess}, its first letter behind the"
            " version"
        )
    elif not guess:
        meant = _heard_name(stem, [str(name) for name in scales])
        what = f"scales: the name {path.name} chooses no scale, so {next(iter(scales))} is used"
    if meant:
        yield context.finding(
            -1, "scale", what, f"{meant}{path.suffix}", Fix("name", -1, "scales", meant)
        )
    written = _written_scale(document)
    if guess and not run_on and written and written != guess:
        yield context.finding(
            -1, "scale", f"`scale`: {written}: the name {path.name} comes first and says {guess}"
        )


def _written_scale(document: Document) -> str:
    """The file's own key `scale`, which a name overrides."""
    return next((str(value.value) for key, value in document.keys if key.value == "scale"), "")


def _heard_name(stem: str, scales: list[str]) -> str:
    """yolov8s_CBAM for yolov8_s_CBAM, yolov8-CBAM-s, YOLOv8s_CBAM or v8s_CBAM; "" if the name asks
    for no scale.
    """
    lowered = re.sub("yolo", "yolo", stem, flags=re.IGNORECASE)
    lowered = re.sub(r"^v?(?=\d+[nslmx](?![A-Za-z0-9]))", "yolov", lowered)
    spelt = LETTER.search(lowered)
    if lowered != stem and spelt and not re.match("[A-Za-z]", lowered[spelt.end() :]):
        return lowered
    letter = next((part for part in re.split(r"[-_. ]", lowered) if part in scales), "")
    if not letter or not MODEL_VERSION.search(lowered):
        return ""
    bare = re.sub(rf"[-_. ]{re.escape(letter)}(?=[-_. ]|$)", "", lowered, count=1)
    return MODEL_VERSION.sub(rf"\g<0>{letter}", bare, count=1)


def _other_factors(
    context: Context, content: Mapping[str, Any], stem: str, guess: str
) -> Iterator[Finding]:
    """A yolov5m… file with the depth and width of yolov5s."""
    factors = tuple(as_number(content.get(key)) for key in MULTIPLES)
    others = [letter for letter, known in V5_FACTORS.items() if known == factors]
    if stem.startswith("yolov5") and others and guess and guess not in others:
        depth, width = V5_FACTORS[guess]
        what = (
            f"`width_multiple`: the file's name says {guess}, but depth and width are those of"
            f" yolov5{others[0]}"
        )
        yield context.finding(
            -1,
            "scale",
            what,
            f"depth_multiple: {depth} and width_multiple: {width}, or another name",
        )


TextRule = Callable[[Document, Path, Context, Mapping[str, Any]], Iterator[Finding]]
TEXT_RULES: Mapping[str, TextRule] = MappingProxyType({
    "comments that contradict the row": wrong_comments,
    "keys that stand twice": double_keys,
    "scale that is not heard": unheard_scale,
})  # fmt: skip


def text_rules(
    document: Document, path: Path, context: Context, content: Mapping[str, Any]
) -> list[Finding]:
    """Findings of TEXT_RULES. path: as the user named the file. context: of the mended graph.

    content: as loaded.
    """
    return [
        finding
        for rule in TEXT_RULES.values()
        for finding in rule(document, path, context, content)
    ]
