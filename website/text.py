"""Plain text of the source turned into Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

FENCE = re.compile(r"(^```.*?^```)", re.S | re.M)
HAN = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
BROKEN = re.compile(rf"(?<={HAN})\n(?={HAN})")
SHARED = re.compile(r"^ +\*{0,2}\w+(?:, \*{0,2}\w+)+(?=: )", re.M)
ENTITIES = {"<": "&lt;", ">": "&gt;", "|": "&#124;"}  # a backslash would not hide these


def plain(text: str) -> str:
    """Text that Markdown shows as it is; what stands in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    for number in range(0, len(parts), 2):
        safe = re.sub(r"([*_\[\]\\])", r"\\\1", parts[number])
        for sign, entity in ENTITIES.items():
            safe = safe.replace(sign, entity)
        parts[number] = safe
    return "".join(part.replace("|", "\\|") if part[:1] == "`" else part for part in parts)


def code(text: str) -> str:
    """Text as code within a line or a table."""
    fence = "``" if "`" in text else "`"
    return fence + text.replace("|", "\\|") + fence


def paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text.strip("\n"))


def markdown(text: str) -> str:
    """A docstring as Markdown: indented formulas become blocks of code, lists stay lists."""
    return "\n\n".join(map(block, paragraphs(text)))


def block(text: str) -> str:
    """One paragraph of a docstring."""
    lines = text.split("\n")
    if all(line.startswith("    ") for line in lines):
        return "```text\n" + "\n".join(line[4:] for line in lines) + "\n```"
    if lines[0].startswith("- "):
        return "\n".join(f"- {plain(item)}" for item in items(lines))
    if any(line.startswith("    ") for line in lines):  # a formula without an empty line before it
        return "\n\n".join(map(block, apart(lines)))
    return link_urls(" ".join(map(plain, lines)))


def link_urls(text: str) -> str:
    """Turn addresses into links."""
    return re.sub(
        r"https?://\S+?(?=[,.;:)]*(?:\s|$))", lambda found: f"<{found[0]}>".replace("\\", ""), text
    )


def items(lines: list[str]) -> Iterator[str]:
    """The items of a list, each in one line."""
    item: list[str] = []
    for line in lines:
        if line.startswith("- ") and item:
            yield " ".join(item)
            item = []
        item.append(line.removeprefix("- ").strip())
    yield " ".join(item)


def apart(lines: list[str]) -> Iterator[str]:
    """Runs of lines that are indented alike."""
    run: list[str] = []
    for line in lines:
        if run and line.startswith("    ") != run[-1].startswith("    "):
            yield "\n".join(run)
            run = []
        run.append(line)
    yield "\n".join(run)


def join_chinese(text: str) -> str:
    """Markdown in which no line ends between two Chinese signs, where a browser shows a space."""
    parts = FENCE.split(text)
    return "".join(part if FENCE.fullmatch(part) else BROKEN.sub("", part) for part in parts)


def keep_together(docstring: str) -> str:
    """The docstring, with spaces that do not break between names that share an entry."""
    return SHARED.sub(lambda found: found[0].replace(", ", ",\N{NO-BREAK SPACE}"), docstring)
