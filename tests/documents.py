"""Reading README, the guides and their code: blocks, commands, figures and links.

tests/test_documents.py checks what is read here without running it; tests/run_documents.py runs it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from utils.files import ROOT

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INDENTED = re.compile(r"^(?: {4}\S.*\n)+", re.M)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# YOLOv5 and v8n are names, 2.68 and −0.65 are figures; a letter before or behind makes a name.
FIGURE = re.compile(r"(?<![A-Za-z0-9_.\-])[+−]?\d+(?:[.,]\d+)*(?![A-Za-z0-9_])")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the number of its first line."""

    language: str
    text: str
    line: int


class Command(NamedTuple):
    """A command as a document prints it, without comments, and the line where it stands."""

    text: str
    line: int

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def is_partial(self) -> bool:
        """Whether the document leaves something out."""
        return "…" in self.text


def documents() -> list[Path]:
    """README in both languages, every guide that is there, and the list of examples."""
    return [
        *sorted(ROOT.glob("README*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "examples/README.md",
    ]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def line_of(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document, in their order."""
    return [Block(one[1], one[2], line_of(text, one.start()) + 1) for one in FENCE.finditer(text)]


def outside_of_code(text: str) -> str:
    """A document without its fenced blocks and its code within lines."""
    return INLINE.sub("", FENCE.sub("", text))


def figures(text: str) -> list[str]:
    """The figures outside of code, in their order; those in the targets of links are left out."""
    return FIGURE.findall(re.sub(r"\]\([^)]*\)", "]", outside_of_code(text)))


def without_comment(line: str) -> str:
    """A line of a shell without its comment and without white space around it."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


def commands_in(script: str, line: int) -> Iterator[Command]:
    """The commands of a piece of shell; those joined by && are parted, and continued lines joined.

    Args:
        script: the text.
        line: the number of its first line.
    """
    waiting, start = "", line
    for number, row in enumerate(script.splitlines(), line):
        start = start if waiting else number
        waiting += without_comment(row)
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        yield from (Command(part.strip(), start) for part in waiting.split("&&") if part.strip())
        waiting = ""


def printed_commands(text: str) -> list[Command]:
    """The commands of a document's bash blocks, indented blocks and code within lines.

    Of the latter two only those that begin with `python`.
    """
    found = [
        command
        for block in blocks(text)
        if block.language == "bash"
        for command in commands_in(block.text, block.line)
    ]
    rest = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    for pattern in (INDENTED, INLINE):
        for one in pattern.finditer(rest):
            inside = one[1] if pattern is INLINE else one[0]
            commands = commands_in(inside.replace("\\|", "|"), line_of(rest, one.start()))
            found += [command for command in commands if re.match(r"python (-m )?\w", command.text)]
    return sorted(dict.fromkeys(found), key=lambda command: command.line)


def links(text: str) -> list[str]:
    """The files that a document's links and pictures point to."""
    return re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", FENCE.sub("", text))
