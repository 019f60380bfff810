"""Judge the studies of docs/studies again: python -m bench.evidence.again

Run it after a change of ablation/statistics. The scores of cells.csv get new verdicts, which
replace the old ones in table.md and in report.html. What else the report has, such as the learning
curves, stays as the study's program wrote it. A study with planned looks is refused.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablation.config import StudyConfig
from ablation.report.html import drawn_costs, drawn_forest, verdicts
from ablation.report.html_tables import main_table
from ablation.report.page import html_page, html_section
from ablation.report.summary import Line, Reached, is_control, make_lines
from ablation.report.tables import markdown_table
from ablation.results import CellResult, Costs, StudyResult
from ablation.statistics.scores import noise
from ablation.statistics.verdicts import compare_arms
from ablation.study import PLAIN, Arm
from bench.evidence.studies import DELTA, FOLDER, number, table_rows
from utils.errors import UserError, run_main
from utils.files import atomic_write
from utils.yaml_file import load_yaml

SECTION = re.compile(r"(?=<h2>)")
COSTS = {  # column of table.md -> field of Costs
    "parameters": "parameters", "GFLOPs": "gflops", "MB moved": "megabytes_moved",
    "ms": "latency_ms", "× plain": "latency_ratio", "train s": "train_seconds",
    "memory MB": "memory_mb",
}  # fmt: skip


def read_cells_csv(path: Path) -> list[CellResult]:
    """The finished runs of a cells.csv, without their curves."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["map"]]
    texts = {"arm", "state", "folder", "reason"}
    return [
        CellResult(
            row["arm"], int(row["block"]), int(row["seed"]), path.parent / row["folder"],
            {key: float(value) for key, value in row.items() if key not in texts and value},
            (), {},
        )
        for row in rows
    ]  # fmt: skip


def judged(cells: Sequence[CellResult], rows: Sequence[Mapping[str, str]]) -> StudyResult:
    """A study from its runs and the rows of its table, with new verdicts."""
    scores: dict[str, dict[int, float]] = {}
    for cell in cells:
        scores.setdefault(cell.arm, {})[cell.train_seed] = cell.score
    controls = [arm for arm in scores if is_control(arm)]
    return StudyResult(
        StudyConfig(attention=("SE",), delta=DELTA),  # of which the sections show delta only
        [Arm(row["arm"], (), "paper", 0) for row in rows],
        cells,
        verdicts=compare_arms(scores, PLAIN, DELTA / 100, controls=controls),
        noise=noise(scores, PLAIN, controls),
        costs={row["arm"]: costs_of(row) for row in rows if row["parameters"]},
    )


def costs_of(row: Mapping[str, str]) -> Costs:
    """The costs that a row of table.md has."""
    known = {field: number(row[name]) for name, field in COSTS.items() if row.get(name)}
    return Costs(parameters=int(known.pop("parameters")), **known)


def lines_of(study: StudyResult, rows: Sequence[Mapping[str, str]]) -> list[Line]:
    """The lines of the report. How soon an arm reached plain needs the curves, so rows tell."""
    told = {row["arm"]: row for row in rows}
    lines = []
    for line in make_lines(study):
        row = told[line.name]
        epochs, seconds, share = (
            number(row[name].removesuffix("%")) if row.get(name) else None
            for name in ("epochs to plain", "s to plain", "reached by")
        )
        of = 0 if share is None else line.seeds
        seeds = round(of * (share or 0) / 100)
        lines.append(replace(line, reached=Reached(seeds, of, epochs, seconds)))
    return lines


def judge_again(folder: Path) -> bool:
    """Write a study's table.md and report.html anew; returns whether a verdict or figure changed.

    Raises UserError for a study with looks, whose verdicts depend on what was seen at each.
    """
    before = (folder / "table.md").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    if "<th>--looks" in page or ">--looks<" in page:
        raise UserError(f"{folder}: was judged at looks, which cells.csv does not tell")
    rows = table_rows(before)
    study = judged(read_cells_csv(folder / "cells.csv"), rows)
    lines = lines_of(study, rows)
    table = markdown_table(lines)
    with atomic_write(folder / "table.md", "w") as file:
        file.write(table)
    with atomic_write(folder / "report.html", "w") as file:
        file.write(renewed(page, study, lines))
    return table != before


def renewed(page: str, study: StudyResult, lines: Sequence[Line]) -> str:
    """A report with the sections that verdicts stand in, and the frame, written anew."""
    title = page.partition("<title>")[2].partition("</title>")[0]
    body = page.partition("<body>\n")[2].rpartition("\n<script>")[0]
    new = {
        "Verdicts": verdicts(study, lines),
        "Differences": drawn_forest(study, lines),
        "Benefit and cost": drawn_costs(lines),
        "All figures": main_table(lines),
    }
    parts = []
    for part in SECTION.split(body):
        name = part.partition("<h2>")[2].partition("</h2>")[0]
        parts.append(f"{html_section(name, new[name])}\n" if name in new else part)
    return html_page(title, "".join(parts))


def main(argv: list[str] | None = None) -> None:
    """Judge all studies of studies.yaml again."""
    for name in load_yaml(FOLDER / "studies.yaml"):
        changed = judge_again(FOLDER / name)
        print(f"{name}: {'changed' if changed else 'as before'}")


if __name__ == "__main__":
    sys.exit(run_main(main))
