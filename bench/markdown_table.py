"""Markdown tables, as the benchmarks print them for README and LOG.md."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
