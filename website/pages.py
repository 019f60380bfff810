"""The page of each attention mechanism, and the table of all of them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import yaml

from utils.text import counted
from website.mechanisms import ROOT, Kind, Mechanism
from website.text import code, markdown, paragraphs, plain

DRAWINGS = ROOT / "docs/images/attention"
TABLE = ROOT / "docs/attention.json"
CHOICES = ("Choices", "Other choices", "Where code and paper differ")
EFFECTS = {
    "channel": "scales each channel by a factor of its own",
    "position": "scales each position by a factor of its own",
    "position of a group": "scales each position of each group of channels",
    "channel × position": "scales by a factor for each channel times one for each position",
    "channel × row × column": "scales each channel by factors for each row and each column",
    "value": "scales each value by a positive factor of its own",
    "shuffled value": "scales each value by a positive factor and exchanges channels",
    "adds a summary": "adds the same vector to all positions",
    "adds": "adds something to the map",
    "replaces": "replaces the map by another",
}
VERDICTS = ("helps", "hurts", "no evidence")
WHERE = "In the neck of yolov5n, difference from the plain graph in points of mAP50-95:"
STYLED = re.compile(r"<style>svg.*?</style>", re.S)


def load_table() -> dict[str, Any]:
    """docs/attention.json, with its rows by name; python -m bench.attention_table makes it."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {**table, "rows": {row["name"]: row for row in table["rows"]}}


def mechanism_page(one: Mechanism, table: Mapping[str, Any]) -> str:
    """The page of one mechanism, as Markdown."""
    formula, choices, cost = sections(one.body)
    names = " and ".join(kind.name for kind in one.kinds)
    parts = [
        f"---\ntitle: {names}\n---\n\n# {names}",
        f"*{plain(one.title)}*",
        facts(one, table),
        "## Formula\n\n" + markdown(formula),
        "## Data flow\n\n" + "\n\n".join(map(drawing, one.kinds)),
    ]
    if choices:
        parts.append("## Where code and paper differ\n\n" + markdown(choices))
    measured = "\n".join(cost_rows(one, table))
    parts.append("## Cost\n\n" + (markdown(cost) + "\n\n" if cost else "") + measured)
    parts.append("## Where it suits\n\n" + "\n\n".join(suits(one, table)))
    parts.append("## In YAML and by name\n\n" + "\n\n".join(map(usage, one.kinds)))
    if any(kind.defaults for kind in one.kinds):
        parts.append("## Options\n\n" + "\n\n".join(options(kind) for kind in one.kinds))
    parts.append("## Does it help?\n\n" + verdict(one))
    return "\n\n".join(parts) + "\n"


def sections(body: str) -> tuple[str, str, str]:
    """Divide a docstring into the formula, the choices, and the cost."""
    found: dict[str, list[str]] = {"formula": [], "choices": [], "cost": []}
    section = "formula"
    for text in paragraphs(body):
        if text.startswith(CHOICES):
            section = "choices"
        elif re.match(r"(.*\. )?(Cost|Parameters)\b", text):
            section = "cost"
        elif not text.startswith(("- ", "    ")) and section == "cost":
            section = "formula"
        found[section].append(text)
    formula, choices, cost = ("\n\n".join(found[name]) for name in found)
    return formula, choices, cost


def facts(one: Mechanism, table: Mapping[str, Any]) -> str:
    """The short table at the top of a page."""
    rows = [("Paper", f"[{one.year}, {one.link}]({one.link})" if one.link else str(one.year))]
    rows.append(("Source", code(f"models/attention/{one.file}.py")))
    for kind in one.kinds:
        effect = table["rows"][kind.name]["effect"]
        rows.append((f"Effect of {kind.name}", EFFECTS[effect]))
    for kind in one.kinds:
        name = f"Verdicts on {kind.name}" if len(one.kinds) > 1 else "Verdicts"
        rows.append((name, outcomes(one, kind) or "not yet measured"))
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def drawing(kind: Kind) -> str:
    """The drawing of a class, as a part of the page, which gives it its colours.

    A wide one shrinks to the page as far as it can be read; beyond that the reader scrolls.
    """
    text = (DRAWINGS / f"{kind.name}.svg").read_text(encoding="utf-8")
    lines = STYLED.sub("", text).replace("\n", "")
    wide = re.search(r' width="(\d+)"', lines)
    least = f"min-width:{int(wide[1]) * 3 // 4}px" if wide else ""
    lines = lines.replace("<svg ", f'<svg style="{least}" ', 1)
    return (
        f'<figure class="flow">{lines}<figcaption>{escape(kind.name)} with its default options, for'
        " a map of C = 256 channels. Blue: with weights. Yellow: a gate.</figcaption></figure>"
    )


def cost_rows(one: Mechanism, table: Mapping[str, Any]) -> Iterator[str]:
    """What the module costs, measured."""
    batch, channels, height, width = table["shape"]
    yield f"Measured on {batch} maps of {channels} × {height} × {width} in float32:"
    yield ""
    yield "| | parameters | GFLOPs | MB moved | ms forward | ms training | MB kept for backward |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for kind in one.kinds:
        row = table["rows"][kind.name]
        names = ("gflops", "moved_mb", "forward_ms", "train_ms", "kept_mb")
        values = [f"{row['parameters']:,}", *(f"{row[name]:,}" for name in names)]
        yield f"| {kind.name} | {' | '.join(values)} |"
    yield ""
    yield f"{plain(table['machine'])}. [All modules](index.md)."


def suits(one: Mechanism, table: Mapping[str, Any]) -> Iterator[str]:
    """Where a module may stand, by what was measured of it."""
    for kind in one.kinds:
        row = table["rows"][kind.name]
        lines = [f"**{kind.name}** {EFFECTS[row['effect']]}."]
        if row["gate_mean"] is not None and row["effect"] != "replaces":
            lines.append(
                f"At the start of training the output is {row['gate_mean']:.2f} times the input on"
                f" the average (deviation {row['gate_std']:.2f})."
            )
        lines.append(places(row))
        if row["min_side"] > 1:
            lines.append(f"The map needs {row['min_side']} × {row['min_side']} positions at least.")
        yield " ".join(lines)


def places(row: Mapping[str, Any]) -> str:
    """The places that suit a module of such an effect, growth and size."""
    if row["growth"] > 1.6:
        return (
            "Every position is compared with every other, so its time grows with the square of the"
            " positions: it belongs to the smallest maps, `backbone.P5` or `backbone.sppf`."
        )
    if row["effect"] in ("replaces", "adds"):
        return (
            "It computes a new map rather than weights for the old one, so it suits the place"
            " behind a stage (`neck`, `backbone.P5`) or a bottleneck's sum (`inside.C3`), and"
            " `--attention-init identity` for pretrained weights."
        )
    if row["gflops"] > 5:
        return "It is heavy for a gate: behind one or two stages, such as `neck.P5`."
    return "It is light and keeps the map's layout: any place suits, `neck` or `inside.C3` first."


def usage(kind: Kind) -> str:
    """Rows of YAML and flags for one class, and the other names that are understood."""
    rows = [f"- [-1, 1, {kind.name}, []]"]
    if kind.defaults:
        mapping = yaml.safe_dump(
            kind.defaults, default_flow_style=True, sort_keys=False, width=math.inf
        )
        rows.append(f"- [-1, 1, {kind.name}, {mapping.strip()}]")
    text = "```yaml\n" + "\n".join(rows) + "\n```\n\n```bash\n"
    train = "python train.py --data my.yaml --cfg"
    text += f"{train} models/yolov5s.yaml --attention {kind.name}@neck\n"
    text += f"{train} yolov8n_{kind.name}.yaml\n```"
    orders = [" , ".join(order) for order in kind.orders if order]
    if orders:
        lists = " or ".join(code(f"[{order.replace(' ,', ',')}]") for order in orders)
        text += (
            f"\n\nA list of numbers means {lists}, with or without the number of channels first."
        )
    if kind.aliases:
        text += f"\n\nOther names of {kind.name}: {', '.join(map(code, kind.aliases))}."
    return f"{text}\n\nInside blocks: `C3_{kind.name}`, `C2f_{kind.name}`, `C3k2_{kind.name}`."


def options(kind: Kind) -> str:
    """The table of a class's options."""
    if not kind.defaults:
        return f"{kind.name} has none."
    rows = "\n".join(
        f"| {code(name)} | {code(repr(value))} | {plain(kind.arguments.get(name, ''))} |"
        for name, value in kind.defaults.items()
    )
    summary = markdown(kind.summary)
    return f"**{kind.name}**: {summary}\n\n| option | default | means |\n|---|---|---|\n{rows}"


def verdict(one: Mechanism) -> str:
    """Our own measured verdict, and how to get one."""
    measured = "\n".join(f"- {plain(text)}" for text in one.verdicts)
    said = f"{WHERE}\n\n{measured}" if measured else "It has not been measured yet."
    return (
        f"{said}\n\nA verdict belongs to one data set, one way of training and one"
        " network. [All modules](../evidence.md), [how verdicts are"
        " reached](../ablation.md). For yours:\n\n```bash\n"
        "python ablate.py --data my.yaml --cfg models/yolov5n.yaml --attention"
        f" {one.kinds[0].name} --at neck --seeds 5 --epochs 50\n```"
    )


def outcomes(one: Mechanism, kind: Kind) -> str:
    """How many studies reached each verdict on a class, such as "hurts 1, no evidence 2"."""
    # Where a file has several classes, each line begins with the name of its class.
    own = [
        text
        for text in one.verdicts
        if len(one.kinds) == 1 or re.match(rf"{kind.name}(,| at )", text)
    ]
    found = Counter(word for text in own for word in VERDICTS if f": {word}, " in text)
    return ", ".join(f"{word} {found[word]}" for word in VERDICTS if found[word])


def table_page(mechanisms: Sequence[Mechanism], table: Mapping[str, Any]) -> str:
    """The table of all modules, which works without scripts, and sorts and filters with them."""
    heads = ("module", "year", "parameters", "MB moved", "ms forward", "ms training", "effect",
             "start", "verdict")  # fmt: skip
    rows = "".join(
        table_row(kind, one, table["rows"][kind.name]) for one in mechanisms for kind in one.kinds
    )
    batch, channels, height, width = table["shape"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    count = rows.count("<tr>")
    return f"""\
---
title: All mechanisms
hide: [navigation, toc]
---

# All attention mechanisms

{count} modules of {len(mechanisms)} mechanisms, measured on {batch} maps of
{channels} × {height} × {width} in float32 with their default options
({plain(table["machine"])}; medians of {counted(table["rounds"], "round")} or more;
`python -m bench.attention_table`). Click a heading to sort, type to filter. *start*: output divided
by input at the start of training. *effect*: what the factor belongs to, or what happens instead.
An empty verdict: not yet measured.

<div class="mechanisms" markdown="0">
<p><input type="search" placeholder="filter, such as channel or 2021" aria-label="filter"></p>
<table class="sortable"><thead><tr>{head}</tr></thead><tbody>
{rows}</tbody></table>
</div>
"""


def table_row(kind: Kind, one: Mechanism, row: Mapping[str, Any]) -> str:
    """One row of the table of all modules, in HTML."""
    page = one.kinds[0].name
    same = row["gate_mean"] is None or row["effect"] == "replaces"  # a ratio says nothing there
    start = "" if same else f"{row['gate_mean']:.2f}"
    names = f'<a href="{page}/" title="{escape(", ".join(kind.aliases))}">{kind.name}</a>'
    cells = [
        names, one.year, f"{row['parameters']:,}", f"{row['moved_mb']:,}", f"{row['forward_ms']:,}",
        f"{row['train_ms']:,}", row["effect"], start, outcomes(one, kind),
    ]  # fmt: skip
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
