"""The report's tables: what is in them once, and how a terminal, Markdown, LaTeX and a CSV file
want it.

Scores are shares of 1 in a StudyResult and points (times 100) in every table.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablation.report.summary import SIZES, Line, is_control, seconds_of
from ablation.statistics.verdicts import LEAST_SEEDS, MOST_SEEDS
from utils.tables import text_table

if TYPE_CHECKING:
    from ablation.statistics.verdicts import ArmVerdict
    from ablation.study import StudyResult

WORDS = {"helps": "helps", "hurts": "hurts", "no evidence": "shows no evidence either way"}
SCORE_KEYS = ("map", "map50", "precision", "recall", *SIZES)
RUN_KEYS = ("epoch", "epochs", "memory_mb")


@dataclass(frozen=True)
class Column:
    """A column of the main table. value: of a line, None or nan for nothing. hint: for who does not
    know the name.
    """

    name: str
    hint: str
    value: Callable[[Line], Any]
    form: str = ""


def of_verdict(name: str, factor: float = 1.0) -> Callable[[Line], Any]:
    def value(line: Line) -> Any:
        found = getattr(line.verdict, name, None)
        return factor * found if isinstance(found, float) else found

    return value


def of_costs(name: str) -> Callable[[Line], Any]:
    return lambda line: getattr(line.costs, name, None)


COLUMNS = (
    Column("#", "number in the charts", lambda line: line.number, "d"),
    Column("arm", "what was put where", lambda line: line.name),
    Column("verdict", "at the study's level, all arms considered", lambda line: word_of(line)),
    Column(
        "difference",
        "mAP50-95 less the plain graph's, points: mean of common seeds, corrected by its other"
        " seeds",
        of_verdict("difference", 100),
        "+.2f",
    ),
    Column("low", "lower end of the simultaneous interval, points", of_verdict("low", 100), "+.2f"),
    Column(
        "high", "upper end of the simultaneous interval, points", of_verdict("high", 100), "+.2f"
    ),
    Column("p", "adjusted for all arms", of_verdict("p"), "p"),
    Column("p exact", "sign-flip test with Holm's adjustment", of_verdict("p_sign_flip"), "p"),
    Column(
        "more seeds",
        "further pairs of seeds that would show a difference of delta with power 0.8",
        of_verdict("further_seeds"),
        "d",
    ),
    Column("seeds", "finished cells", lambda line: line.seeds, "d"),
    Column("mAP50-95", "mean over seeds, %", lambda line: 100 * line.score, ".2f"),
    Column("mAP50", "mean over seeds, %", lambda line: 100 * line.score50, ".2f"),
    Column("parameters", "of the network", of_costs("parameters"), ",d"),
    Column("GFLOPs", "of one image, fused", of_costs("gflops"), ".2f"),
    Column("MB moved", "read and written by one forward pass", of_costs("megabytes_moved"), ".0f"),
    Column("ms", "latency of one image, fused, median", of_costs("latency_ms"), ".2f"),
    Column(
        "× plain",
        "latency by the plain graph's, measured in turn",
        of_costs("latency_ratio"),
        ".3f",
    ),
    Column(
        "train s",
        "seconds of training, mean of the cells, without validation",
        of_costs("train_seconds"),
        ",.0f",
    ),
    Column(
        "memory MB", "peak of training, the largest of the cells", of_costs("memory_mb"), ",.0f"
    ),
    Column(
        "epochs to plain",
        "until the curve reaches the plain graph's last mean, median of the seeds that do",
        lambda line: line.reached.epochs,
        ".0f",
    ),
    Column(
        "s to plain", "the same in seconds of training", lambda line: line.reached.seconds, ",.0f"
    ),
    Column(
        "reached by",
        "share of seeds that reached it",
        lambda line: 100 * line.reached.seeds / line.reached.of if line.reached.of else None,
        ".0f%",
    ),
)
SHORT = (
    "#",
    "arm",
    "verdict",
    "difference",
    "low",
    "high",
    "p",
    "more seeds",
    "mAP50-95",
    "parameters",
    "GFLOPs",
    "× plain",
)


def word_of(line: Line) -> str:
    """The verdict in a word or two."""
    if line.verdict is not None:
        return line.verdict.verdict
    return "baseline" if line.name == "plain" else "no result"


def show(column: Column, line: Line) -> str:
    """A cell as text; "" where there is nothing to say."""
    value = column.value(line)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if column.form == "p":
        return f"{value:.3f}" if value >= 0.001 else "< 0.001"
    form, unit = (column.form[:-1], "%") if column.form.endswith("%") else (column.form, "")
    return signed(value, form) + unit


def signed(value: float, form: str) -> str:
    """A number with a real minus sign, and none before a zero."""
    text = f"{value:{form}}"
    return text[1:] if text[:1] in "+-" and not text.strip("+-0.") else text.replace("-", "−")


def filled(lines: Sequence[Line], names: Sequence[str] = ()) -> list[Column]:
    """The columns, or those named, in which at least one line has something."""
    return [column for column in COLUMNS
            if (not names or column.name in names) and any(show(column, line) for line in lines)]  # fmt: skip


def interval(verdict: ArmVerdict) -> str:
    """`+1.20 (95 % interval +0.40 to +2.00)`, in points."""
    known = [
        signed(100 * value, "+.2f") for value in (verdict.difference, verdict.low, verdict.high)
    ]
    has_ends = math.isfinite(verdict.low + verdict.high)
    return (
        f"{known[0]} ({f'95 % interval {known[1]} to {known[2]}' if has_ends else 'no interval'})"
    )


def sentence(line: Line, delta: float) -> str:
    """An arm's verdict in plain words, its name left out. delta: a share."""
    verdict = line.verdict
    if verdict is None or not math.isfinite(verdict.difference):
        return f"has no verdict: no cell could be compared{lost(line)}"
    said = (
        "has too few seeds for a verdict"
        if verdict.seeds < LEAST_SEEDS
        else WORDS.get(verdict.verdict, "")
    )
    said += (
        f": {interval(verdict)} points over {verdict.seeds}"
        f" seed{'s' if verdict.seeds != 1 else ''}{lost(line)}"
    )
    costs = line.costs
    if costs is not None and costs.latency_ratio is not None and not is_control(line.name):
        said += f", at {costs.latency_ratio:.2f} × the latency"
    if verdict.verdict == "no evidence" and verdict.further_seeds and not is_control(line.name):
        seeds = f"{verdict.further_seeds} more seed{'s' if verdict.further_seeds > 1 else ''}"
        are = "is" if verdict.further_seeds == 1 else "are"
        if verdict.seeds + verdict.further_seeds >= MOST_SEEDS:
            said += f"; to show a difference of {100 * delta:g} takes more than {MOST_SEEDS} seeds"
        elif math.isfinite(verdict.low):
            said += f"; {seeds} would show a difference of {100 * delta:g}"
        else:
            said += f"; {seeds} {are} the least for a verdict"
    if is_control(line.name) and verdict.seeds >= LEAST_SEEDS:
        is_sound = verdict.verdict == "no evidence"
        said += (
            "; as it should be, for nothing differs but the seeds"
            if is_sound
            else (
                "; but nothing differs except the seeds: chance in one study of twenty, else the"
                " other verdicts deserve as little trust"
            )
        )
    return said


def lost(line: Line) -> str:
    return f" ({line.failed} cell{'s' if line.failed > 1 else ''} failed)" if line.failed else ""


def overview(lines: Sequence[Line], failed: int) -> str:
    """`Of 6 arms 1 helps, 1 hurts, 4 show no evidence either way.`"""
    words = ["too few" if line.verdict and line.verdict.seeds < LEAST_SEEDS else word_of(line)
             for line in lines if line.name != "plain" and not is_control(line.name)]  # fmt: skip
    if not words:
        out = sum(word_of(line) in ("helps", "hurts") for line in lines)
        return ("Only the plain graph was tried, under other seeds: "
                f"{out or 'none'} of {len(lines) - 1} such controls stand{'s' * (out < 2)} out.")  # fmt: skip
    counts = [
        (words.count("helps"), "helps", "help"),
        (words.count("hurts"), "hurts", "hurt"),
        (words.count("no evidence"), "shows no evidence either way", "show no evidence either way"),
        (
            words.count("too few"),
            "has too few seeds for a verdict",
            "have too few seeds for a verdict",
        ),
        (words.count("no result"), "has no result", "have no result"),
    ]
    said = ", ".join(
        f"{count} {one if count == 1 else many}" for count, one, many in counts if count
    )
    text = (
        f"Of {len(words)} arms {said}." if len(words) > 1 else f"The arm {said.split(' ', 1)[1]}."
    )
    return text + (f" {failed} cell{'s' if failed > 1 else ''} failed." if failed else "")


def terminal(study: StudyResult, lines: Sequence[Line]) -> str:
    """The table and the verdicts for a terminal."""
    columns = filled(lines, SHORT)
    rows = [[show(column, line) for column in columns] for line in lines]
    parts = [
        text_table([column.name for column in columns], rows),
        overview(lines, len(study.failed)),
    ]
    parts += [
        f"{line.name} {sentence(line, study.config.margin)}."
        for line in lines
        if line.name != "plain"
    ]
    parts += [f"failed: {name}: {reason}" for name, reason in study.failed.items()]
    return "\n".join([parts[0], "", *parts[1:]])


def markdown(lines: Sequence[Line]) -> str:
    """The table for README files and issues."""
    columns = filled(lines)
    head = ["| " + " | ".join(column.name for column in columns) + " |",
            "|" + "|".join("---:" if column.form else "---" for column in columns) + "|"]  # fmt: skip
    body = [
        "| " + " | ".join(escape_markdown(show(column, line)) for column in columns) + " |"
        for line in lines
    ]
    return "\n".join([*head, *body]) + "\n"


def escape_markdown(text: str) -> str:
    escaped = "".join(
        f"\\{sign}" if sign in "\\`*_{}[]()#|~" else sign for sign in " ".join(text.split())
    )
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "−": "$-$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex(lines: Sequence[Line]) -> str:
    """The short table for a paper; it needs the package booktabs."""
    columns = filled(lines, SHORT[1:])
    rows = [[show(column, line) for column in columns] for line in lines]
    body = [" & ".join(escape_latex(text) for text in row) + r" \\" for row in rows]
    head = " & ".join(escape_latex(column.name) for column in columns) + r" \\"
    kinds = "".join("r" if column.form else "l" for column in columns)
    return (
        "\n".join(
            [
                rf"\begin{{tabular}}{{{kinds}}}",
                r"\toprule",
                head,
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )
        + "\n"
    )


def escape_latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))


def cells_csv(study: StudyResult) -> str:
    """A row for each cell, failed ones with their reason; scores are shares of 1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            "arm",
            "block",
            "seed",
            "state",
            *SCORE_KEYS,
            *RUN_KEYS,
            "train_seconds",
            "folder",
            "reason",
        ]
    )
    for cell in study.cells:
        seconds = seconds_of(cell)
        values = [cell.metrics.get(key) for key in (*SCORE_KEYS, *RUN_KEYS)]
        shown = ["" if value is None else f"{value:.10g}" for value in (*values, seconds)]
        writer.writerow(
            [cell.arm, cell.seed, cell.train_seed, "done", *shown, cell.folder.name, ""]
        )
    for name, reason in study.failed.items():
        arm, _, seed = name.rpartition(" seed ")
        blanks = [""] * (len(SCORE_KEYS) + len(RUN_KEYS) + 2)
        writer.writerow([arm, "", seed, "failed", *blanks, reason])
    return file.getvalue()
