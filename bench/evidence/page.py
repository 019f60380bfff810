"""docs/evidence.md: the table of all modules, sentences to quote, and what they do not say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ablation.study import AA
from bench.evidence.change import change_table, read_changes, starts_table
from bench.evidence.languages import ENGLISH, Language
from bench.evidence.literature import agreement, between, read_published
from bench.evidence.longer import longer_table, noise_table
from bench.evidence.picture import ordered
from bench.evidence.studies import Study
from bench.evidence.words import cell, interval, label, quotable, signed
from bench.markdown_table import markdown_rows


def page(studies: Sequence[Study], language: Language = ENGLISH) -> str:
    """The page in Markdown; page.md beside this file has its sentences, with {marks}."""
    text = Path(__file__).with_name(f"page{language.suffix}.md")
    main = [study for study in studies if study.is_main]
    others = [study for study in studies if not study.is_main]
    return text.read_text(encoding="utf-8").format(
        modules=len(ordered(main)),
        sets=number_of_sets(main, language),
        runs=f"{sum(study.runs for study in main):,}",
        hours=f"{sum(study.hours for study in main):.0f}",
        counts=counts(main, language),
        table=table(main, language),
        quotes=quotes(main, language),
        studies=settings(studies, language),
        others="\n\n".join(small_table(study, language) for study in others),
        noise=noise(main, language),
        agreement=agreement(read_published(), main, language),
        between=between(main, language),
        starts=starts_table(main, language),
        change=change_table(studies, read_changes(), language),
        longer=longer_table(studies, language),
        longer_noise=noise_table(studies, language),
    )


def number_of_sets(studies: Sequence[Study], language: Language) -> str:
    """On how many data sets the studies are."""
    sets = len({study.data for study in studies})
    return language.sets[sets > 1].format(sets=sets)


def counts(studies: Sequence[Study], language: Language) -> str:
    """How many modules each study found to help, to hurt, …"""
    rows = []
    for study in studies:
        found = Counter(row.outcome for row in study.modules.values())
        numbers = [len(study.modules), *(found[outcome] for outcome in language.outcomes)]
        rows.append([link(study, language), *map(str, numbers)])
    return markdown_rows(language.heads["counts"], rows)


def link(study: Study, language: Language) -> str:
    """The study's label, which leads to its own table."""
    return f"[{label(study, language)}](studies/{study.name}/table.md)"


def table(studies: Sequence[Study], language: Language) -> str:
    """A row for each module, with a column for each study."""
    rows = []
    for name in ordered(studies):
        found = [study.modules.get(name) for study in studies]
        measured = [(study, row) for study, row in zip(studies, found, strict=True) if row]
        study, row = measured[0]
        extra = signed(100 * (row.parameters / study.plain_parameters - 1), 1)
        rows.append(
            [
                name, f"{row.latency:.2f}", f"{extra} %",
                *(cell(row, language) for row in found),
            ]
        )  # fmt: skip
    heads = [
        f"{language.comma.join((one.data, language.columns[one.start]))} ({len(one.modules)})"
        for one in studies
    ]
    return markdown_rows([*language.heads["all"], *heads], rows)


def quotes(studies: Sequence[Study], language: Language) -> str:
    """One sentence for each outcome of each study: the middle one of its differences."""
    lines = []
    for study in studies:
        for outcome in language.outcomes:
            rows = [row for row in study.modules.values() if row.outcome == outcome]
            rows.sort(key=lambda row: row.difference)
            lines += [f"> {quotable(row, study, language)}" for row in rows[len(rows) // 2 :][:1]]
    return "\n>\n".join(lines)


def settings(studies: Sequence[Study], language: Language) -> str:
    """What each study did, and what it took."""
    rows = [
        [
            link(study, language),
            study.fact("details", language.key),
            f"{study.plain:.1f}",
            str(study.runs),
            f"{study.hours:.1f}",
        ]
        for study in studies
    ]
    return markdown_rows(language.heads["settings"], rows)


def small_table(study: Study, language: Language) -> str:
    """A study that is no column of the table of all modules."""
    rows = [
        [
            name,
            language.outcomes[row.outcome],
            interval(row, language),
            f"{row.latency:.2f}",
        ]
        for name, row in study.rows.items()
        if not name.startswith(AA)
    ]
    head = f"**{label(study, language)}** ({language.runs.format(runs=study.runs)})"
    return f"{head}\n\n{markdown_rows(language.heads['small'], rows)}"


def noise(studies: Sequence[Study], language: Language) -> str:
    """The standard deviation of a difference, without and with pairs, and the A/A arms."""
    rows = [
        [
            link(one, language), f"{math.sqrt(2) * one.noise.run:.2f}", f"{one.noise.pair:.2f}",
            language.comma.join(
                interval(row, language) for name, row in one.rows.items() if name.startswith(AA)
            ),
        ]
        for one in studies
    ]  # fmt: skip
    return markdown_rows(language.heads["noise"], rows)
