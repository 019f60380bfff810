"""Whether a longer training tells the same as a shorter one: tables of docs/evidence.md.

A study whose facts have `longer_than` repeats a part of the study of that name over more epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.evidence.languages import ENGLISH, Language
from bench.evidence.studies import Study, pooled
from bench.evidence.words import cell, label
from bench.markdown_table import markdown_rows


def pairs_of(studies: Sequence[Study]) -> Iterator[tuple[Study, Study]]:
    """Each shorter study with the longer one."""
    named = {study.name: study for study in studies}
    for study in studies:
        shorter = named.get(study.facts.get("longer_than", ""))
        if shorter is not None:
            yield shorter, study


def common_modules(shorter: Study, longer: Study) -> list[str]:
    """The modules of both, the best of the longer study first."""
    names = shorter.modules.keys() & longer.modules.keys()
    return sorted(names, key=lambda name: (-longer.modules[name].difference, name))


def longer_table(studies: Sequence[Study], language: Language = ENGLISH) -> str:
    """Each module's difference in the shorter and in the longer study; "" if there is none."""
    rows = [
        [
            name,
            language.columns[longer.start],
            *(cell(study.modules[name], language) for study in (shorter, longer)),
        ]
        for shorter, longer in pairs_of(studies)
        for name in common_modules(shorter, longer)
    ]
    return markdown_rows(language.heads["longer"], rows) if rows else ""


def noise_table(studies: Sequence[Study], language: Language = ENGLISH) -> str:
    """How much the paired differences of the common modules scatter in both studies."""
    rows = []
    for pair in pairs_of(studies):
        names = common_modules(*pair)
        for study in pair:
            spread = pooled([study.modules[name].gaps for name in names])
            rows.append([label(study, language), f"{study.plain:.1f}", f"{spread:.2f}"])
    return markdown_rows(language.heads["longer noise"], rows) if rows else ""
