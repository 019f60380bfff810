"""The frame of report.html, and the HTML of its sections, figures and tables.

The frame is page.html, page.css and sort.js beside this file. They are read when a report is
written and become part of it, so that the report is a single file that needs no network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

FRAME, STYLE, SCRIPT = (
    Path(__file__).with_name(name) for name in ("page.html", "page.css", "sort.js")
)


class TableHead(NamedTuple):
    """The head of a table's column. The hint is shown when the mouse points at it."""

    name: str
    hint: str
    is_number: bool


class TableEntry(NamedTuple):
    """An entry of a table: its text, and the value that the script sorts by."""

    text: str
    value: str


class TableRow(NamedTuple):
    """A row of a table, with its class in the style sheet."""

    kind: str
    entries: Sequence[TableEntry]


def html_page(title: str, body: str) -> str:
    """A whole document.

    Args:
        title: plain text.
        body: HTML, in which everything that comes from the user is already escaped.
    """
    script = SCRIPT.read_text(encoding="utf-8")
    # The policy allows this script by its hash, no other script, and no request at all. So even if
    # a name from the user were not escaped, nothing in it could run or reach the network.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'"
    )
    return Template(FRAME.read_text(encoding="utf-8")).substitute(
        policy=policy,
        title=escape(title),
        style=STYLE.read_text(encoding="utf-8"),
        body=body,
        script=script,
    )


def html_section(title: str, body: str) -> str:
    """A section with a heading, or "" if the section is empty."""
    return f"<h2>{escape(title)}</h2>\n{body}\n" if body else ""


def html_figure(wide: str, narrow: str, name: str, caption: str) -> str:
    """A chart in both formats, of which the style sheet shows one, or "" without a chart.

    Args:
        wide: SVG for a window.
        narrow: SVG for a phone.
        name: description for a screen reader.
        caption: text below the chart.
    """
    if not wide:
        return ""
    label = escape(name)
    drawn = "".join(
        f'<div class="{kind}" role="img" aria-label="{label}">{svg}</div>\n'
        for kind, svg in (("wide", wide), ("narrow", narrow))
    )
    return f"<figure>\n{drawn}<figcaption>{escape(caption)}</figcaption>\n</figure>\n"


def html_table(heads: Sequence[TableHead], rows: Sequence[TableRow], kind: str = "sortable") -> str:
    """A table. The entry below the head "arm" becomes the head of its row.

    Args:
        heads: one for each column.
        rows: each with one entry for each column.
        kind: classes of the style sheet: sortable, sticky or plain.
    """
    top = "".join(
        f'<th scope="col" class="{"number" if head.is_number else ""} '
        f'{"arm" if head.name == "arm" else ""}" '
        f'title="{escape(head.hint)}">{escape(head.name)}</th>'
        for head in heads
    )
    body = "\n".join(
        f'<tr class="{row.kind}">' + "".join(map(_html_entry, heads, row.entries)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll {kind}" tabindex="0"><table class="{kind}">\n'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n"
    )


def _html_entry(head: TableHead, entry: TableEntry) -> str:
    tag = "th" if head.name == "arm" else "td"
    word = "number" if head.is_number else ""
    if head.name == "verdict" and entry.text in ("helps", "hurts"):
        word = entry.text
    shown = f' class="{word}"' if word else ""
    return f'<{tag}{shown} data-value="{escape(entry.value)}">{escape(entry.text)}</{tag}>'
