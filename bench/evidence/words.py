"""What a result says, in words: for docstrings, for the page, and to quote."""

from __future__ import annotations

import textwrap

from ablation.report.columns import signed as report_signed
from ablation.statistics.planning import MOST_SEEDS
from bench.evidence.languages import ENGLISH, Language
from bench.evidence.studies import DELTA, Result, Study

MAX_LINE = 100


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign, which is a true minus; zero has none."""
    return report_signed(value, f"+.{digits}f")


def interval(row: Result, language: Language = ENGLISH) -> str:
    """A difference with its interval."""
    ends = language.ends.format(low=signed(row.low), high=signed(row.high))
    return f"{signed(row.difference)} ({ends})"


def label(study: Study, language: Language) -> str:
    """What distinguishes a study from the others."""
    parts = (study.data, study.fact("training", language.key), language.columns[study.start])
    return language.comma.join(parts)


def cell(row: Result | None, language: Language) -> str:
    """A cell of the table of all modules: the outcome, the difference and its interval."""
    if row is None:
        return ""
    place = "" if row.place == "neck" else language.at.format(place=row.place)
    word = language.outcomes[row.outcome]
    text = f"{interval(row, language)}{place}"
    return f"{word} {text}" if row.verdict == "no evidence" else f"**{word}** {text}"


def docstring_line(row: Result, study: Study, several: bool) -> str:
    """A line of a docstring's verdict, in ASCII.

    Args:
        row: the result.
        study: its study.
        several: whether the docstring describes more than one class.
    """
    place = "" if row.place == "neck" else f" at {row.place}"
    named = f"{row.module}{place}, " if several or place else ""
    text = f"- {named}{label(study, ENGLISH)}: {row.verdict}, {interval(row)}, {row.seeds} seeds."
    lines = textwrap.wrap(text.replace("−", "-"), MAX_LINE, subsequent_indent="  ")
    return "\n".join(lines)


def quotable(row: Result, study: Study, language: Language) -> str:
    """A sentence that a student may quote, which says all that the verdict depends on."""
    figures = {
        "module": row.module,
        "place": row.place,
        "data": study.data,
        "training": study.fact("training", language.key),
        "start": language.starts[study.start],
        "seeds": row.seeds,
        "low": signed(row.low),
        "high": signed(row.high),
        "size": f"{abs(row.difference):.2f}",
        "difference": signed(row.difference),
        "delta": DELTA,
        "more": row.more_seeds,
        "arms": len(study.modules),
    }
    then = row.outcome
    if then == "open" and not 0 < row.more_seeds < MOST_SEEDS - row.seeds:
        then = "far"
    parts = {
        "where": language.where[row.place != "neck"],
        "found": language.found[row.verdict],
        "then": language.then.get(then, ""),
    }
    filled = {name: text.format(**figures) for name, text in parts.items()}
    return language.quote.format(**figures, **filled)
