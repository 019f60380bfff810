"""The rules about the text of a graph's file: its comments, its keys, its name.

models/lint/fix.py applies them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from models.graph.scales import LETTER, MODEL_VERSION, MULTIPLES, guess_scale, has_scales
from models.graph.values import as_number, shorten
from models.lint.document import Document
from models.lint.finding import Fix, LintContext, LintFinding

# The number of a row at the start of its comment: "# 7", "# 7-P4/16", "# layer 7: neck".
ROW_COMMENT = re.compile(
    r"#+\s*(?:(?:row|layer)\s+)?(\d{1,3})(?=\s*$|\s*:|\s*-\s*[A-Za-z]|\s*\(P\d|\s*\(p\d)",
    re.IGNORECASE,
)
STRIDE_COMMENT = re.compile(r"\bP(\d)\s*/\s*(\d+)\b")  # "P4/16": level and stride
LEVEL_COMMENT = re.compile(r"#\s*\d+\s*-\s*P(\d)\b(?!\s*/)")  # "# 7-P4": a level alone
LONE_NUMBER = re.compile(r"#+\s*(\d{1,3})\s*$")  # a row's number, or the side of its map
USUAL_SIDES = (640, 416, 512, 320, 608, 1280, 1024)  # of images for which files state map sizes
V5_FACTORS = {  # depth and width of YOLOv5's sizes
    "n": (0.33, 0.25),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}


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
    of_maps = _map_size_comments(context)
    for row in range(len(context.document.rows)):
        comment = context.document.comment_of(row)
        if comment is None or row in of_maps:
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


def _map_size_comments(context: TextContext) -> set[int]:
    """Rows whose comment is the side of their map, such as `# 40`, and not the row's number.

    All of these hold for images of one side, and at least half of the numbers that stand alone do.
    """
    sizes, numbers = context.graph.sizes, dict[int, int]()
    for row in range(min(len(sizes), len(context.document.rows))):
        comment = context.document.comment_of(row)
        lone = LONE_NUMBER.fullmatch(comment[1]) if comment else None
        if lone:
            numbers[row] = int(lone[1])
    found = [
        {
            row
            for row, number in numbers.items()
            if number * context.graph.side == side * sizes[row][0]
        }
        for side in USUAL_SIDES
    ]
    most = max(found, key=len)
    return most if 2 * len(most) >= len(numbers) else set()


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
    """Keys that stand twice in one mapping, of which YAML takes the last one."""
    for key in context.document.doubled:
        if key.name in MULTIPLES and has_scales(context.content):  # reported by unused_keys
            continue
        first, second = key.lines
        what = f"`{key.name}`: stands twice; only this one counts, not the one in line {first}"
        yield LintFinding(context.graph.file, second, -1, "key", what, "one of them")


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
