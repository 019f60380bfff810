"""report.html: a study on one page that needs no other file and no network.

The verdicts come first, in plain words. Then come charts, tables, causes, and all that is needed to
repeat the study. All names that come from a user (arms, classes, paths) are escaped.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ablation.report import charts, sentences
from ablation.report.html_tables import listed, main_table, part_table
from ablation.report.looks import READING_LOOKS, looks_sentences
from ablation.report.page import html_figure, html_page, html_section
from ablation.report.paper import Paper, paper_section
from ablation.report.run_notes import run_notes
from ablation.report.summary import (
    Line,
    by_arm,
    by_class,
    by_size,
    compared,
    curves,
    is_control,
)
from ablation.study import PLAIN
from utils.text import counted

if TYPE_CHECKING:
    from ablation.results import StudyResult

MANY = 12  # arms without evidence that are shown at once
READING = (
    (
        "Every arm is compared with the baseline, which is the arm plain, on the same seeds: equal"
        " initial weights where they share a layer, equal images in equal order. An arm helps or"
        " hurts only if its interval, widened for the number of arms, excludes zero, and never on"
        " fewer than three seeds. No evidence does not prove that there is no effect: the interval"
        " says how large an effect may still be. Where the baseline has more seeds than an arm,"
        " they show how lucky it was in the common ones, and the difference is corrected for a part"
        " of that. So it is not the difference of the two means in the table."
    ),
    (
        "p is adjusted for the number of arms. p exact is the sign-flip test with Holm's"
        " adjustment, which assumes nothing about the noise and cannot be small with few seeds."
        " More seeds: further seeds after which a difference of delta would be shown in four"
        " studies of five."
    ),
    (
        "Latency is measured in turn with the baseline on the study's device, for one image."
        " Differences by size and class and the causes below are clues and not verdicts: they are"
        " not adjusted for how many there are."
    ),
)


def render(study: StudyResult, lines: Sequence[Line], paper: Paper | None = None) -> str:
    """The whole page.

    Args:
        study: the study.
        lines: lines of the report.
        paper: files beside the page, which it links to.
    """
    config = study.config
    title = f"Ablation of {config.cfg or config.weights} on {config.data}"
    parts = [
        f"<h1>{escape(title)}</h1>\n{subtitle(study, lines)}",
        html_section("Verdicts", verdicts(study, lines)),
        html_section("Differences", drawn_forest(study, lines)),
        html_section("Benefit and cost", drawn_costs(lines)),
        html_section("Learning curves", drawn_curves(study, lines)),
        html_section("All figures", main_table(lines)),
        html_section("By size of object", part_table(study, lines, by_size)),
        html_section("By class", part_table(study, lines, by_class)),
        html_section("Why did it drop, or not change?", causes(study, lines)),
        html_section("For a paper", paper_section(paper) if paper else ""),
        html_section("Runs that failed", listed(study.failed)),
        html_section("Notes of the runs", listed(run_notes(study))),
        html_section("Settings", listed(settings(study))),
        html_section("Repeat it", repeat(study)),
        html_section("How to read this", reading(study)),
    ]
    return html_page(title, "\n".join(filter(None, parts)))


def reading(study: StudyResult) -> str:
    """How to read the page, as paragraphs."""
    texts = (*READING, *([READING_LOOKS] if study.looks else []))
    return "".join(f"<p>{escape(text)}</p>\n" for text in texts)


def subtitle(study: StudyResult, lines: Sequence[Line]) -> str:
    """The size of the study in one line."""
    config = study.config
    parts = [
        counted(len(lines), "arm"),
        counted(len(study.cells), "finished run"),
        f"seeds {config.seeds}",
        counted(config.epochs, "epoch"),
        f"{config.imgsz} px",
        f"delta {config.delta:g} points",
    ]
    return f'<p class="muted">{escape(" · ".join(parts))}</p>\n'


def verdicts(study: StudyResult, lines: Sequence[Line]) -> str:
    """An overview, the noise, and one line for each arm: best difference first, controls last."""
    shared = shared_notes(lines)
    notes = " ".join(
        filter(None, [noise_sentence(study), *(f"For all arms: {n}." for n in shared)])
    )
    overview = sentences.overview(lines, len(study.failed))
    arms = sorted(
        (line for line in lines if line.name != PLAIN), key=lambda line: is_control(line.name)
    )
    looks = " ".join(looks_sentences(study))
    return (
        f'<p class="lead">{escape(overview)}</p>\n'
        + (f"<p>{escape(looks)}</p>\n" if looks else "")
        + f"<p>{escape(notes)}</p>\n"
        + verdict_lists(arms, study.config.margin, shared)
    )


def verdict_lists(arms: Sequence[Line], delta: float, shared: Sequence[str]) -> str:
    """The arms' verdicts as a list. Many arms without evidence are folded, below those with some.

    Args:
        arms: lines of the report, without the baseline.
        delta: smallest difference of interest, in 0..1.
        shared: notes that the page already gives for all arms.
    """

    def listing(lines: Sequence[Line]) -> str:
        items = "\n".join(verdict_item(line, delta, shared) for line in lines)
        return f'<ul class="verdicts">\n{items}\n</ul>\n' if lines else ""

    without = [line for line in arms if not is_decided(line)]
    if len(without) <= MANY:
        return listing(arms)
    summary = f"{counted(len(without), 'arm')} without evidence either way, or without a result"
    return (
        listing([line for line in arms if is_decided(line)])
        + f"<details><summary>{summary}</summary>\n{listing(without)}</details>\n"
    )


def is_decided(line: Line) -> bool:
    """Whether an arm helps or hurts."""
    return line.verdict is not None and line.verdict.verdict in ("helps", "hurts")


def verdict_item(line: Line, delta: float, shared: Sequence[str]) -> str:
    """An arm's verdict as an item of a list.

    Args:
        line: the arm.
        delta: smallest difference of interest, in 0..1.
        shared: notes that the page already gives for all arms.
    """
    kind = line.verdict.verdict if line.verdict and is_decided(line) else "none"
    own = "; ".join(note for note in notes_of(line) if note not in shared)
    note = f"<small>{escape(own)}</small>" if own else ""
    said = sentences.sentence(line, delta)
    return f'<li class="{kind}"><b>{escape(line.name)}</b> {escape(said)}.{note}</li>'


def noise_sentence(study: StudyResult) -> str:
    """How much scores scatter; "" if that is not known."""
    noise = study.noise
    if noise is None or not math.isfinite(noise.sd_pair + noise.sd_seed):
        return ""
    return (
        "Noise, as standard deviations: another seed moves the plain graph's score by"
        f" {100 * noise.sd_seed:.2f} points, a difference between two arms on the same seed by"
        f" {100 * noise.sd_pair:.2f}."
    )


def notes_of(line: Line) -> list[str]:
    return line.verdict.note.split("; ") if line.verdict and line.verdict.note else []


def shared_notes(lines: Sequence[Line]) -> list[str]:
    """The notes that all arms have in common, which the page gives once."""
    each = [notes_of(line) for line, _ in compared(lines) if not is_control(line.name)]
    return [note for note in each[0] if all(note in own for own in each)] if len(each) > 1 else []


def drawn_forest(study: StudyResult, lines: Sequence[Line]) -> str:
    """The forest plot with its caption."""
    wide, narrow = (
        charts.forest(lines, study.config.margin, is_narrow) for is_narrow in (False, True)
    )
    caption = (
        "Difference from the baseline with its simultaneous 95 % interval: ▲ helps, ▼ hurts,"
        " ● no evidence. Dashed: delta, the smallest difference of interest,"
        f" {study.config.delta:g} points."
    )
    if any(
        is_control(line.name) and line.verdict and math.isfinite(line.verdict.high)
        for line in lines
    ):
        caption += (
            " Shaded: what noise alone does, half the interval of A/A (the baseline under other"
            " seeds) to either side."
        )
    return html_figure(
        wide, narrow, "Forest plot of the differences; the table below has its figures", caption
    )


def drawn_costs(lines: Sequence[Line]) -> str:
    """The chart of benefit against latency with its caption and legend."""
    wide, narrow = (charts.cost_benefit(lines, is_narrow) for is_narrow in (False, True))
    shown = (line for line in lines if line.name != PLAIN and not is_control(line.name))
    # A number must not be separated from its arm at the end of a line.
    names = " · ".join(f"{line.number}\N{NO-BREAK SPACE}{line.name}" for line in shown)
    caption = (
        "Higher is better, further left is quicker; the square is the baseline. Grey: dominated,"
        " because another arm is at least as good and as quick."
    )
    drawn = html_figure(
        wide, narrow, "Difference against latency; the table below has its figures", caption
    )
    return f'{drawn}<p class="legend">{escape(names)}</p>\n' if drawn else ""


def drawn_curves(study: StudyResult, lines: Sequence[Line]) -> str:
    """The learning curves with their caption."""
    values = {name: curves(cells) for name, cells in by_arm(study.cells).items()}
    wide, narrow = (charts.learning(values, lines, is_narrow) for is_narrow in (False, True))
    caption = (
        "mAP50-95 after each epoch, mean and range over seeds; grey and dashed: the baseline. "
        "The axis does not begin at zero."
    )
    return html_figure(wide, narrow, "Learning curves of each arm beside the baseline's", caption)


def causes(study: StudyResult, lines: Sequence[Line]) -> str:
    """Each arm's sentences, strongest clue first."""
    parts = []
    for line in lines:
        items = "".join(f"<li>{escape(text)}</li>\n" for text in study.causes.get(line.name, ()))
        if items:
            parts.append(f"<h3>{escape(line.name)}</h3>\n<ul>\n{items}</ul>\n")
    return "".join(parts)


def settings(study: StudyResult) -> dict[str, str]:
    """The flags in force, without those that are empty or off."""
    values = dataclasses.asdict(study.config)
    # `is not False`, because 0 == False and settings of 0 must be shown.
    texts = {
        f"--{name.replace('_', '-')}": shlex.join(map(str, value))
        if isinstance(value, tuple)
        else str(value)
        for name, value in values.items()
        if value not in ("", ()) and value is not False
    }
    return {name: "yes" if text == "True" else text for name, text in texts.items()}


def repeat(study: StudyResult) -> str:
    """The command, and the versions, devices and hashes that the figures depend on."""
    facts = dict(study.provenance)
    command = facts.pop("command", "")
    shown = f"<pre>{escape(command)}</pre>\n" if command else ""
    return shown + listed(facts)
