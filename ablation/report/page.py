"""The frame of report.html: its style, its few lines of script, and a policy that forbids every
request.

Light and dark follow the reader's system. Colours are Okabe and Ito's, which colour-blind readers
tell apart.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --panel: #f5f7f9; --ink: #1b2530; --muted: #5d6b78; --grid: #d9dfe5; --line: #c7d0d8;
  --helps: #0072b2; --hurts: #c44e00; --none: #6b7785; --band: #e9edf1; --curve: #00795a; --code: #eef1f4; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14191f; --panel: #1b222a; --ink: #e4e9ee; --muted: #9dabb8; --grid: #313b45; --line: #3c4753;
  --helps: #56b4e9; --hurts: #f0883e; --none: #a3b0bc; --band: #262f38; --curve: #2fc79b; --code: #232b34; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem clamp(0.8rem, 3vw, 2rem) 4rem; max-width: 72rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.4rem 0; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 0.6rem; padding-top: 0.9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 0.3rem; }
p, ul { margin: 0.5rem 0; max-width: 50rem; }
.muted, figcaption, .legend { color: var(--muted); font-size: 0.875rem; }
.lead { font-size: 1.15rem; font-weight: 600; }
.verdicts { list-style: none; padding: 0; max-width: none; }
.verdicts li { padding: 0.45rem 0.8rem; margin: 0.4rem 0; background: var(--panel); border-left: 4px solid var(--none);
  border-radius: 0 6px 6px 0; }
.verdicts li.helps { border-color: var(--helps); } .verdicts li.hurts { border-color: var(--hurts); }
.verdicts small { display: block; color: var(--muted); }
td.helps { color: var(--helps); font-weight: 600; } td.hurts { color: var(--hurts); font-weight: 600; }
figure { margin: 0.6rem 0; }
svg { display: block; width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.narrow { display: none; }
@media (max-width: 40rem) { .wide { display: none; } .narrow { display: block; } body { font-size: 15px; } }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: 0.6rem 0; width: fit-content;
  max-width: 100%; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.32rem 0.6rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--grid); }
thead th { background: var(--panel); white-space: nowrap; vertical-align: bottom; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
td { white-space: nowrap; } .plain td { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
tbody th { font-weight: 600; min-width: 9rem; max-width: 20rem; overflow-wrap: anywhere; background: var(--paper); }
@media (min-width: 40rem) { tbody th { overflow-wrap: break-word; } }
.sticky tbody th, .sticky thead th.arm { position: sticky; left: 0; }
tr.dominated th, tr.dominated td:not(.helps, .hurts) { color: var(--muted); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--helps); outline-offset: 2px; }
th button::after { content: " ↕"; color: var(--muted); font-weight: 400; }
th[aria-sort=ascending] button::after { content: " ↑"; color: var(--ink); }
th[aria-sort=descending] button::after { content: " ↓"; color: var(--ink); }
code, pre { background: var(--code); border-radius: 4px; font: 0.85rem/1.45 ui-monospace, Consolas, monospace; }
code { padding: 0.1rem 0.3rem; } pre { padding: 0.7rem; white-space: pre-wrap; }
details summary { cursor: pointer; }
@media print { .scroll { overflow: visible; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => {
        if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
        const gap = Number(key(a)) - Number(key(b));
        return sign * (Number.isNaN(gap) ? key(a).localeCompare(key(b)) : gap);
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
"""


def page(title: str, body: str) -> str:
    """A whole document. title: plain text. body: HTML, everything of the user's escaped in it.

    The policy allows this script by its hash and nothing else that could run, and no request at
    all.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src"
        f" 'sha256-{digest}'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon"'
        ' href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def section(title: str, body: str) -> str:
    """A part with a heading; "" if there is nothing in it."""
    return f"<h2>{escape(title)}</h2>\n{body}\n" if body else ""


def figure(wide: str, narrow: str, name: str, caption: str) -> str:
    """A chart in its two widths. name: what it is, for who cannot see it. "" without a chart."""
    if not wide:
        return ""
    drawn = "".join(f'<div class="{kind}" role="img" aria-label="{escape(name)}">{svg}</div>\n'
                    for kind, svg in (("wide", wide), ("narrow", narrow)))  # fmt: skip
    return f"<figure>\n{drawn}<figcaption>{escape(caption)}</figcaption>\n</figure>\n"


def table(heads: Sequence[tuple[str, str, bool]], rows: Sequence[tuple[str, Sequence[tuple[str, str]]]],
          kind: str = "sortable") -> str:  # fmt: skip
    """heads: (name, hint, whether numbers). rows: (class, cells), a cell being (text, value to sort
    by).

    The cell under a head called arm becomes the row's own head.
    """

    def shown(number: int, text: str, value: str) -> str:
        name, _, is_number = heads[number]
        tag = "th" if name == "arm" else "td"
        words = (
            ["number"]
            if is_number
            else [text]
            if name == "verdict" and text in ("helps", "hurts")
            else []
        )
        attributes = f' class="{" ".join(words)}"' if words else ""
        return f'<{tag}{attributes} data-value="{escape(value)}">{escape(text)}</{tag}>'

    top = "".join(
        f'<th scope="col" class="{"number" if is_number else ""} {"arm" if name == "arm" else ""}" '
        f'title="{escape(hint)}">{escape(name)}</th>'
        for name, hint, is_number in heads
    )
    body = "\n".join(
        f'<tr class="{row}">' + "".join(shown(n, *cell) for n, cell in enumerate(cells)) + "</tr>"
        for row, cells in rows
    )
    return (
        f'<div class="scroll {kind}" tabindex="0"><table'
        f' class="{kind}">\n<thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>\n"
    )
