"""report.html: a study on one page that needs no other file, no network, and no script but to sort
its tables.

Verdicts come first, in plain words; then charts, tables, causes, and all that is needed to repeat
the study. Whatever a user has named (arms, classes, paths) is escaped.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ablation.report import charts, tables
from ablation.report.page import figure, page, section, table
from ablation.report.summary import (
    Difference,
    Line,
    by_arm,
    by_class,
    by_size,
    compared,
    curves,
    is_control,
)
from ablation.study import PLAIN

if TYPE_CHECKING:
    from ablation.study import StudyResult

READING = (
    (
        "Every arm is compared with the plain graph on the same seeds: equal initial weights where"
        " they share a layer, equal images in equal order. An arm helps or hurts only if its"
        " interval, widened for the number of arms, leaves out zero, and never on fewer than three"
        " seeds. No evidence is no proof of no effect: the interval says how large an effect may"
        " still be. Where the plain graph has more seeds than an arm, they tell how lucky it was in"
        " the common ones, and the difference is corrected for a part of that; so it is not that of"
        " the two means in the table."
    ),
    (
        "p is adjusted for the number of arms; p exact is the sign-flip test with Holm's"
        " adjustment, which assumes nothing about the noise and cannot be small with few seeds."
        " More seeds: further seeds after which a difference of delta would be shown in four"
        " studies of five."
    ),
    (
        "Latency is measured in turn with the plain graph on the study's device, for one image."
        " Differences by size and class and the causes below are leads, not verdicts: they are not"
        " adjusted for how many there are."
    ),
)


def render(study: StudyResult, lines: Sequence[Line]) -> str:
    """The whole page."""
    config = study.config
    title = f"Ablation of {config.cfg or config.weights} on {config.data}"
    parts = [
        f"<h1>{escape(title)}</h1>\n{subtitle(study, lines)}",
        section("Verdicts", verdicts(study, lines)),
        section("Differences", drawn_forest(study, lines)),
        section("Benefit and cost", drawn_costs(lines)),
        section("Learning curves", drawn_curves(study, lines)),
        section("All figures", main_table(lines)),
        section("By size of object", part_table(study, lines, by_size)),
        section("By class", part_table(study, lines, by_class)),
        section("Why did it drop, or not change?", causes(study, lines)),
        section("Cells that failed", listed(study.failed)),
        section("Settings", listed(settings(study))),
        section("Repeat it", repeat(study)),
        section("How to read this", "".join(f"<p>{escape(text)}</p>\n" for text in READING)),
    ]
    return page(title, "\n".join(filter(None, parts)))


def subtitle(study: StudyResult, lines: Sequence[Line]) -> str:
    config = study.config
    parts = [f"{len(lines)} arms", f"{len(study.cells)} finished cells", f"seeds {config.seeds}",
             f"{config.epochs} epochs", f"{config.imgsz} px", f"delta {config.delta:g} points"]  # fmt: skip
    return f'<p class="muted">{escape(" · ".join(parts))}</p>\n'


def verdicts(study: StudyResult, lines: Sequence[Line]) -> str:
    """One line for each arm, the most favourable first, the control last."""
    items, shared = [], shared_notes(lines)
    for line in sorted(
        (line for line in lines if line.name != PLAIN), key=lambda line: is_control(line.name)
    ):
        verdict = line.verdict
        kind = verdict.verdict if verdict and verdict.verdict in ("helps", "hurts") else "none"
        own = "; ".join(note for note in notes_of(line) if note not in shared)
        note = f"<small>{escape(own)}</small>" if own else ""
        said = tables.sentence(line, study.config.margin)
        items.append(f'<li class="{kind}"><b>{escape(line.name)}</b> {escape(said)}.{note}</li>')
    noise = study.noise
    seed = ""
    if noise is not None and math.isfinite(noise.sd_pair + noise.sd_seed):
        seed = (
            "Noise, as standard deviations: another seed moves a score by"
            f" {100 * noise.sd_seed:.2f} points, a difference between two arms on the same seed by"
            f" {100 * noise.sd_pair:.2f}."
        )
    seed = " ".join(filter(None, [seed, *(f"For all arms: {note}." for note in shared)]))
    lead = f'<p class="lead">{escape(tables.overview(lines, len(study.failed)))}</p>\n<p>{escape(seed)}</p>\n'
    return lead + '<ul class="verdicts">\n' + "\n".join(items) + "\n</ul>\n"


def notes_of(line: Line) -> list[str]:
    return line.verdict.note.split("; ") if line.verdict and line.verdict.note else []


def shared_notes(lines: Sequence[Line]) -> list[str]:
    """Notes that all arms have, which are better said once."""
    each = [notes_of(line) for line, _ in compared(lines) if not is_control(line.name)]
    return [note for note in each[0] if all(note in own for own in each)] if len(each) > 1 else []


def drawn_forest(study: StudyResult, lines: Sequence[Line]) -> str:
    wide, narrow = (
        charts.forest(lines, study.config.margin, is_narrow) for is_narrow in (False, True)
    )
    caption = (
        "Difference from the plain graph with its simultaneous 95 % interval: ▲ helps, ▼ hurts, ●"
        f" no evidence. Dashed: delta, the smallest difference of interest, {study.config.delta:g}"
        " points."
    )
    if any(
        is_control(line.name) and line.verdict and math.isfinite(line.verdict.high)
        for line in lines
    ):
        caption += (
            " Shaded: what noise alone does, half the interval of A/A (the plain graph, other"
            " seeds), each way."
        )
    return figure(
        wide, narrow, "Forest plot of the differences; the table below has its figures", caption
    )


def drawn_costs(lines: Sequence[Line]) -> str:
    wide, narrow = (charts.cost_benefit(lines, is_narrow) for is_narrow in (False, True))
    shown = (line for line in lines if line.name != PLAIN and not is_control(line.name))
    names = " · ".join(f"{line.number}\N{NO-BREAK SPACE}{line.name}" for line in shown)
    caption = (
        "Higher is better, further left is quicker; the square is the plain graph. Grey: dominated,"
        " since another is at least as good and as quick."
    )
    drawn = figure(
        wide, narrow, "Difference against latency; the table below has its figures", caption
    )
    return f'{drawn}<p class="legend">{escape(names)}</p>\n' if drawn else ""


def drawn_curves(study: StudyResult, lines: Sequence[Line]) -> str:
    values = {name: curves(cells) for name, cells in by_arm(study.cells).items()}
    wide, narrow = (charts.learning(values, lines, is_narrow) for is_narrow in (False, True))
    caption = (
        "mAP50-95 after each epoch, mean and range over seeds; grey and dashed: the plain graph. "
    )
    caption += "The axis does not begin at zero."
    return figure(wide, narrow, "Learning curves of each arm beside the plain graph's", caption)


def main_table(lines: Sequence[Line]) -> str:
    columns = tables.filled(lines)
    rows = [
        (
            "dominated" if line.is_dominated else "",
            [(tables.show(column, line), sort_key(column.value(line))) for column in columns],
        )
        for line in lines
    ]
    heads = [(column.name, column.hint, bool(column.form)) for column in columns]
    return table(heads, rows, "sortable sticky")


def sort_key(value: Any) -> str:
    """What the script sorts by: a number in full, text as it is, "" for nothing, which comes last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return f"{value:.10g}" if isinstance(value, (int, float)) else str(value)


def part_table(
    study: StudyResult, lines: Sequence[Line], split: Callable[..., dict[str, Difference]]
) -> str:
    """Arms by sizes or classes: mean difference in points and its standard error; "" if there are
    no parts.
    """
    cells = by_arm(study.cells)
    found = {line.name: split(cells[line.name], cells.get(PLAIN, {}))
             for line in lines if line.name != PLAIN and line.name in cells}  # fmt: skip
    parts = list(dict.fromkeys(part for values in found.values() for part in values))
    if not parts:
        return ""
    rows = [
        ("", [(name, name), *(shown_part(values.get(part)) for part in parts)])
        for name, values in found.items()
    ]
    heads = [
        ("arm", "what was put where", False),
        *((part, "AP50-95, difference in points", True) for part in parts),
    ]
    note = (
        '<p class="muted">AP50-95 less the plain graph\'s on the same seeds, points ± standard'
        " error.</p>\n"
    )
    return note + table(heads, rows, "sortable sticky")


def shown_part(value: Difference | None) -> tuple[str, str]:
    if value is None:
        return "", ""
    error = f" ± {100 * value.error:.1f}" if math.isfinite(value.error) else ""
    return tables.signed(100 * value.mean, "+.1f") + error, sort_key(100 * value.mean)


def causes(study: StudyResult, lines: Sequence[Line]) -> str:
    """Each arm's sentences, most telling first."""
    parts = []
    for line in lines:
        sentences = "".join(
            f"<li>{escape(sentence)}</li>\n" for sentence in study.causes.get(line.name, ())
        )
        if sentences:
            parts.append(f"<h3>{escape(line.name)}</h3>\n<ul>\n{sentences}</ul>\n")
    return "".join(parts)


def settings(study: StudyResult) -> dict[str, str]:
    """The flags in force, those left empty apart."""
    values = dataclasses.asdict(study.config)
    texts = {
        f"--{name.replace('_', '-')}": shlex.join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
        if value not in ("", ()) and value is not False
    }
    return {name: "yes" if text == "True" else text for name, text in texts.items()}


def listed(values: Mapping[str, Any]) -> str:
    """Names and values in two columns; "" if there are none."""
    rows = [
        ("", [(str(name), str(name)), (str(value), str(value))])
        for name, value in values.items()
        if value != ""
    ]
    return table([("what", "", False), ("value", "", False)], rows, "plain") if rows else ""


def repeat(study: StudyResult) -> str:
    """The command, and all that the figures rest on."""
    command = study.provenance.get("command", "")
    told = {name: value for name, value in study.provenance.items() if name != "command"}
    shown = f"<pre>{escape(str(command))}</pre>\n" if command else ""
    return shown + listed(told)
